<?php

// Promises: a database connection of the module's own, apart from any transaction the portal has open.
// Leans on: ConnectionPool::cloneConnection; made once per process, on first use.
// Must never: hand out the portal's own connection, or a row could vanish with somebody's rollback.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrix\Main\Application;
use Bitrix\Main\DB\Connection;

final class OwnConnection
{
    private const NAME = 'bitrelay_outbox';

    private static ?Connection $connection = null;

    public static function get(): Connection
    {
        if (self::$connection === null) {
            $clone = Application::getInstance()->getConnectionPool()->cloneConnection(
                'default',
                self::NAME,
                self::difference(Application::getConnection())
            );
            if (!$clone instanceof Connection) {
                throw new \RuntimeException('the portal gave no database connection');
            }
            self::$connection = $clone;
        }
        return self::$connection;
    }

    /**
     * pg_connect hands out the same connection again for the same connection string, so the string has to
     * differ. Two names of one encoding do: what the module stores is ASCII.
     *
     * @return array<string, string>
     */
    private static function difference(Connection $portals): array
    {
        if ($portals->getType() !== 'pgsql') {
            return [];
        }
        $charset = (string)($portals->getConfiguration()['charset'] ?? '');
        return ['charset' => $charset === 'UTF8' ? 'utf-8' : 'UTF8'];
    }
}
