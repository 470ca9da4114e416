<?php

// Promises: a small description of methods, events and placements by scope.
// Leans on: nothing.
// Must never: be asked for more than that.

declare(strict_types=1);



class CRestProvider
{
    public function getDescription()
    {
        return [
            '_global' => ['methods' => [], 'scope' => [], 'batch' => []],
            'crm' => [
                'crm.deal.add' => [],
                'crm.deal.list' => [],
                '_events' => ['ONCRMDEALADD' => ['crm', 'OnAfterCrmDealAdd', [], []]],
                '_placements' => ['CRM_DEAL_DETAIL_TAB' => []],
            ],
            'user' => ['user.current' => [], '_events' => ['ONUSERADD' => ['main', 'OnUserInitialize', [], []]]],
        ];
    }
}
