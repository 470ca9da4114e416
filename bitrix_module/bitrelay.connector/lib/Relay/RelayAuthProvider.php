<?php

// Promises: in mode "chosen apps" the listed apps get their codes and tokens from the relay, the rest as ever.
// Leans on: the stock provider, extended; made with new, for its instance() is shared.
// Must never: ask the relay for an app that is not listed, or put a relay token into the stock cache.

declare(strict_types=1);

namespace Bitrelay\Connector\Relay;

use Bitrix\Rest\OAuth\Provider;

final class RelayAuthProvider extends Provider
{
    /** @var list<string> */
    private array $apps = [];
    private ?RelayClient $relay = null;

    /** @param list<string> $apps client ids that live at the relay */
    public static function forApps(array $apps, RelayClient $relay): self
    {
        $provider = new self();
        $provider->apps = $apps;
        $provider->relay = $relay;
        return $provider;
    }

    public function authorizeClient($clientId, $userId, $state = '')
    {
        if ($this->relay === null || !in_array((string)$clientId, $this->apps, true)) {
            return parent::authorizeClient($clientId, $userId, $state);
        }
        if ($userId <= 0) {
            return false;
        }
        return self::unwrap($this->relay->call('rest.code', [
            'CLIENT_ID' => $clientId,
            'STATE' => $state,
            'PARAMS' => $this->getTokenParams([], $userId),
        ]));
    }

    public function get($clientId, $scope, $additionalParams, $userId)
    {
        if ($this->relay === null || !in_array((string)$clientId, $this->apps, true)) {
            return parent::get($clientId, $scope, $additionalParams, $userId);
        }
        if ($userId <= 0) {
            return false;
        }
        $answer = self::unwrap($this->relay->call('rest.authorize', [
            'CLIENT_ID' => $clientId,
            'SCOPE' => $scope,
            'PARAMS' => $this->getTokenParams($additionalParams, $userId),
        ]));
        return is_array($answer) && !empty($answer['access_token'])
            ? ['user_id' => $userId, 'client_id' => $clientId] + $answer
            : $answer;
    }

    /** As the stock provider: the result, or the error document, or false when nothing came. */
    private static function unwrap(RelayAnswer $answer): mixed
    {
        if (!$answer->arrived()) {
            return false;
        }
        return $answer->succeeded() ? $answer->result() : $answer->document();
    }
}
