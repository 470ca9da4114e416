<?php

// Promises: a locator without services, as on a portal without REST v3.
// Leans on: nothing.
// Must never: pretend to have one.

declare(strict_types=1);


namespace Bitrix\Main\DI;

class ServiceLocator
{
    public static function getInstance()
    {
        return new self();
    }

    public function get($id)
    {
        throw new \Bitrix\Main\SystemException('no such service');
    }
}
