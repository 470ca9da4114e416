<?php

// Promises: the finished auth block of a handler's event, with a token fresh from the cloud.
// Leans on: the stock auth provider (extended, so that the event's own loop counter is kept).
// Must never: send half a token; the token fields are there all together or not at all.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrix\Rest\AppTable;
use Bitrix\Rest\OAuth\Provider;

final class GivenAuth extends Provider
{
    private const TOKEN_FIELDS = ['access_token', 'expires', 'expires_in', 'scope', 'status'];

    private mixed $eventSession = null;

    /**
     * @return array<string, mixed>|null null when the cloud could not be asked: try again later
     */
    public function block(Item $item): ?array
    {
        $auth = (array)($item->meta['auth'] ?? []);
        $additional = (array)($item->meta['additional'] ?? []);
        $clientId = (string)($item->meta['client_id'] ?? '');
        $userId = (int)($auth['LOCAL_USER'] ?? 0);
        $block = array_filter([
            'domain' => (string)($auth['domain'] ?? ''),
            'client_endpoint' => (string)($item->meta['endpoint'] ?? ''),
            'server_endpoint' => \Bitrix\Rest\OAuth\Client::SERVICE_URL . '/rest/',
            'member_id' => (string)($auth['member_id'] ?? ''),
            'application_token' => (string)($auth['application_token'] ?? ''),
        ], static fn (string $value): bool => $value !== '');
        if ($clientId === '' || $userId <= 0 || empty($additional['sendAuth'])) {
            return $block;
        }
        $this->eventSession = $auth['EVENT_SESSION'] ?? null;
        $answer = $this->get($clientId, $this->scopeOf($clientId), $this->extra($auth), $userId);
        if (!is_array($answer) || ($answer['error'] ?? '') === 'CONNECTION_ERROR') {
            return null;
        }
        return $block + self::token($answer, $userId, !empty($additional['sendRefreshToken']));
    }

    protected function getTokenParams($additionalParams, $userId)
    {
        $parameters = parent::getTokenParams($additionalParams, $userId);
        if (is_array($parameters) && $this->eventSession !== null) {
            $parameters['EVENT_SESSION'] = $this->eventSession;
        }
        return $parameters;
    }

    /**
     * @param array<mixed> $answer
     * @return array<string, mixed>
     */
    private static function token(array $answer, int $userId, bool $withRefresh): array
    {
        if (empty($answer['access_token']) || empty($answer['expires'])) {
            return []; // A refusal (the app is gone): the handler gets the event without a token.
        }
        $token = array_intersect_key($answer, array_flip(self::TOKEN_FIELDS)) + ['user_id' => $userId];
        if (is_array($token['scope'] ?? null)) {
            $token['scope'] = implode(',', $token['scope']);
        }
        return $withRefresh && !empty($answer['refresh_token'])
            ? $token + ['refresh_token' => $answer['refresh_token']]
            : $token;
    }

    private function scopeOf(string $clientId): string
    {
        $app = AppTable::getByClientId($clientId);
        return is_array($app) ? (string)($app['SCOPE'] ?? '') : '';
    }

    /**
     * @param array<string, mixed> $auth
     * @return array<string, mixed> parameters that a robot or an SMS sender keeps with its token
     */
    private function extra(array $auth): array
    {
        return array_diff_key($auth, array_flip(
            ['LOCAL_USER', 'EVENT_SESSION', 'application_token', 'domain', 'member_id']
        ));
    }
}
