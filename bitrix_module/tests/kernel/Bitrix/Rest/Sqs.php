<?php

// Promises: one item of the event queue.
// Leans on: nothing.
// Must never: look into the data.

declare(strict_types=1);


namespace Bitrix\Rest;

class Sqs
{
    public const CATEGORY_DEFAULT = 'default';

    public static function queryItem($clientId, $url, $data, array $authData = [], array $additional = [])
    {
        return [
            'client_id' => $clientId,
            'additional' => $additional,
            'auth' => $authData,
            'query' => [
                'DOMAIN' => \Bitrix\Main\Context::getCurrent()->getRequest()->getHttpHost(),
                'QUERY_URL' => $url,
                'QUERY_DATA' => $data,
            ],
        ];
    }
}
