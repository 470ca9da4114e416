<?php

// Promises: the kinds of outside users.
// Leans on: nothing.
// Must never: list the portal's own users.

declare(strict_types=1);


namespace Bitrix\Main;

class UserTable
{
    public static function getExternalUserTypes()
    {
        return ['bot', 'email', 'replica', 'controller', 'shop', 'imconnector', 'sale', 'saleanonymous', '__controller', 'document_editor', 'call', 'calendar_sharing'];
    }
}
