<?php

// Promises: notices for administrators, by tag.
// Leans on: the database.
// Must never: show one twice.

declare(strict_types=1);



class CAdminNotify
{
    public const TYPE_ERROR = 'E';

    public static function Add($arFields)
    {
        self::DeleteByTag($arFields['TAG']);
        $connection = \Bitrix\Main\Application::getConnection();
        $quoted = array_map($connection->getSqlHelper()->convertToDbString(...), [$arFields['TAG'], $arFields['MODULE_ID'], $arFields['MESSAGE']]);
        $connection->queryExecute('INSERT INTO b_admin_notify (TAG, MODULE_ID, MESSAGE) VALUES (' . implode(', ', $quoted) . ')');
    }

    public static function DeleteByTag($tag)
    {
        $connection = \Bitrix\Main\Application::getConnection();
        $connection->queryExecute("DELETE FROM b_admin_notify WHERE TAG = '" . $connection->getSqlHelper()->forSql($tag) . "'");
    }

    public static function DeleteByModule($module)
    {
        $connection = \Bitrix\Main\Application::getConnection();
        $connection->queryExecute("DELETE FROM b_admin_notify WHERE MODULE_ID = '" . $connection->getSqlHelper()->forSql($module) . "'");
    }
}
