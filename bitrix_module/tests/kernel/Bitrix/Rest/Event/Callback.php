<?php

// Promises: turns a PHP event of the portal into REST events for the bound handlers.
// Leans on: b_rest_event.
// Must never: fire for an event nobody is bound to.

declare(strict_types=1);


namespace Bitrix\Rest\Event;

use Bitrix\Main\Application;

class Callback
{
    public static function __callStatic($name, $arguments)
    {
        $helper = Application::getConnection()->getSqlHelper();
        $event = substr($name, (int)strpos($name, '__') + 2);
        $rows = Application::getConnection()->query(
            "SELECT * FROM b_rest_event WHERE EVENT_NAME = '" . $helper->forSql($event) . "' ORDER BY ID"
        )->fetchAll();
        $data = $arguments[0] instanceof \Bitrix\Main\Event ? $arguments[0]->getParameters() : $arguments;
        Sender::call(array_map(static fn (array $row): array => [
            ['ID' => (int)$row['ID'], 'APP_ID' => (int)$row['APP_ID'], 'USER_ID' => (int)$row['USER_ID']] + $row,
            $data[0],
            [],
        ], $rows));
    }
}
