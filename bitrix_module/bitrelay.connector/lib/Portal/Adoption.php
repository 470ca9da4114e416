<?php

// Promises: a portal that has lived with the cloud keeps its identity, and its apps theirs, at the relay.
// Leans on: the relay's relay.adopt (the one-time code proves the administrator) or a file for `relay portal adopt`.
// Must never: be called without the administrator's confirmation: the document holds every secret.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Relay\RelayClient;
use Bitrix\Rest\AppTable;
use Bitrix\Rest\OAuthService;

final class Adoption
{
    private const TITLE_MOST = 500;

    /**
     * The PORTAL document of relay.adopt.
     *
     * @param list<string>|null $onlyApps client ids; null means every app with credentials of its own
     * @return array<string, mixed>
     */
    public static function document(string $portalUrl, ?array $onlyApps = null): array
    {
        $engine = OAuthService::getEngine();
        return [
            'url' => $portalUrl,
            'client_id' => (string)$engine->getClientId(),
            'client_secret' => (string)$engine->getClientSecret(),
            'apps' => self::apps($onlyApps),
        ];
    }

    /** @param array<string, mixed> $document */
    public static function send(RelayClient $relay, array $document): RelayAnswer
    {
        return $relay->call('relay.adopt', [
            'CODE' => (string)Secret::get(Connecting::CODE),
            'PORTAL' => self::json($document),
        ]);
    }

    /** @param array<string, mixed> $document */
    public static function json(array $document): string
    {
        return json_encode($document, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE);
    }

    /**
     * @param list<string>|null $onlyApps
     * @return list<array<string, string|int>>
     */
    private static function apps(?array $onlyApps): array
    {
        $rows = AppTable::getList([
            'select' => ['ID', 'CLIENT_ID', 'CLIENT_SECRET', 'APP_NAME', 'CODE', 'URL', 'SCOPE', 'STATUS', 'VERSION'],
            'order' => ['ID' => 'ASC'],
        ])->fetchAll();
        $apps = [];
        foreach ($rows as $row) {
            $clientId = (string)$row['CLIENT_ID'];
            if ((string)$row['CLIENT_SECRET'] === '' || DummyApps::isDummy($clientId)) {
                continue;
            }
            if ($onlyApps !== null && !in_array($clientId, $onlyApps, true)) {
                continue;
            }
            $apps[] = [
                'client_id' => $clientId,
                'client_secret' => (string)$row['CLIENT_SECRET'],
                'title' => mb_substr((string)($row['APP_NAME'] ?: $row['CODE']), 0, self::TITLE_MOST, 'UTF-8'),
                'redirect_uri' => (string)$row['URL'],
                'scope' => is_array($row['SCOPE']) ? implode(',', $row['SCOPE']) : (string)$row['SCOPE'],
                'status' => (string)$row['STATUS'],
                'version' => max(0, (int)$row['VERSION']),
            ];
        }
        return $apps;
    }
}
