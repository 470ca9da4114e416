<?php

// Promises: the rows of b_rest_app; an update tells the OAuth server unless that is switched off.
// Leans on: the database.
// Must never: tell it while it is off.

declare(strict_types=1);


namespace Bitrix\Rest;

use Bitrix\Main\Application;
use Bitrix\Main\DB\Result;

class AppTable
{
    protected static $skipRemoteUpdate = false;

    public static function setSkipRemoteUpdate($v)
    {
        static::$skipRemoteUpdate = $v;
    }

    public static function getByClientId($clientId)
    {
        $helper = Application::getConnection()->getSqlHelper();
        return Application::getConnection()->query(
            "SELECT * FROM b_rest_app WHERE CLIENT_ID = '" . $helper->forSql((string)$clientId) . "'"
        )->fetch();
    }

    public static function getById($id): Result
    {
        return Application::getConnection()->query('SELECT * FROM b_rest_app WHERE ID = ' . (int)$id);
    }

    /** @param array{select?: list<string>, filter?: array<string, string>, order?: array<string, string>} $parameters */
    public static function getList(array $parameters = []): Result
    {
        $helper = Application::getConnection()->getSqlHelper();
        $where = [];
        foreach ($parameters['filter'] ?? [] as $name => $value) {
            $like = str_starts_with($name, '%=');
            $where[] = ltrim($name, '%=') . ($like ? " LIKE '" : " = '") . $helper->forSql($value) . "'";
        }
        return Application::getConnection()->query(
            'SELECT * FROM b_rest_app' . ($where === [] ? '' : ' WHERE ' . implode(' AND ', $where)) . ' ORDER BY ID'
        );
    }

    /** @param array<string, mixed> $data */
    public static function update($primary, array $data): UpdateResult
    {
        if (!static::$skipRemoteUpdate) {
            OAuthService::getEngine()->getClient()->call('application.update', ['CLIENT_ID' => $data['CLIENT_ID'] ?? '']);
        }
        $helper = Application::getConnection()->getSqlHelper();
        $set = [];
        foreach ($data as $name => $value) {
            $set[] = $name . " = '" . $helper->forSql((string)$value) . "'";
        }
        Application::getConnection()->queryExecute('UPDATE b_rest_app SET ' . implode(', ', $set) . ' WHERE ID = ' . (int)$primary);
        return new UpdateResult();
    }
}
