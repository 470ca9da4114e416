<?php

// Promises: apps that were added while the portal was unregistered get real client ids from the relay.
// Leans on: application.add and AppTable with its remote update switched off.
// Must never: touch an app that has a client id already.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Relay\RelayClient;
use Bitrix\Rest\AppTable;

final class DummyApps
{
    private const PREFIX = 'no_client_id_';

    public static function isDummy(string $clientId): bool
    {
        return str_starts_with($clientId, self::PREFIX);
    }

    /** @return list<array{id: int, title: string, url: string, scope: string}> */
    public static function list(): array
    {
        $rows = AppTable::getList([
            'select' => ['ID', 'APP_NAME', 'CODE', 'URL', 'SCOPE'],
            'filter' => ['=STATUS' => 'L', '%=CLIENT_ID' => self::PREFIX . '%'],
            'order' => ['ID' => 'ASC'],
        ])->fetchAll();
        return array_map(static fn (array $row): array => [
            'id' => (int)$row['ID'],
            'title' => (string)($row['APP_NAME'] ?: $row['CODE'] ?: 'app ' . $row['ID']),
            'url' => (string)$row['URL'],
            'scope' => is_array($row['SCOPE']) ? implode(',', $row['SCOPE']) : (string)$row['SCOPE'],
        ], $rows);
    }

    /** @return array{repaired: int, troubles: array<string, string>} troubles by app title */
    public static function repair(RelayClient $relay): array
    {
        $outcome = ['repaired' => 0, 'troubles' => []];
        foreach (self::list() as $app) {
            $trouble = self::repairOne($relay, $app);
            if ($trouble === '') {
                $outcome['repaired']++;
            } else {
                $outcome['troubles'][$app['title']] = $trouble;
            }
        }
        return $outcome;
    }

    /** @param array{id: int, title: string, url: string, scope: string} $app */
    private static function repairOne(RelayClient $relay, array $app): string
    {
        $answer = $relay->call('application.add', [
            'TITLE' => $app['title'],
            'REDIRECT_URI' => $app['url'],
            'SCOPE' => $app['scope'],
        ]);
        $result = $answer->result();
        $clientId = $result['client_id'] ?? null;
        $secret = $result['client_secret'] ?? null;
        if (!is_string($clientId) || !is_string($secret) || $clientId === '' || $secret === '') {
            return $answer->trouble();
        }
        AppTable::setSkipRemoteUpdate(true);
        try {
            $updated = AppTable::update($app['id'], [
                'CLIENT_ID' => $clientId,
                'CLIENT_SECRET' => $secret,
                'SHARED_KEY' => md5(\CRestUtil::getMemberId() . $secret),
            ]);
            return $updated->isSuccess() ? '' : implode('; ', $updated->getErrorMessages());
        } finally {
            AppTable::setSkipRemoteUpdate(false);
        }
    }
}
