<?php

// Promises: what the relay says of one token now, in the form the stock validator wants.
// Leans on: rest.check (protocol.md section 4) and the shared back-off.
// Must never: try while the back-off lasts, or turn silence into a refusal.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

use Bitrelay\Connector\Relay\Backoff;
use Bitrelay\Connector\Relay\RelayClient;

final class OnlineCheck
{
    public function __construct(private readonly RelayClient $client, private readonly \Closure $backoff)
    {
    }

    /** @return array<string, mixed>|null token info, or a refusal with "error"; null when nobody answered */
    public function ask(string $token, int $now): ?array
    {
        $backoff = ($this->backoff)();
        if (!$backoff instanceof Backoff || !$backoff->allows($now)) {
            return null;
        }
        $answer = $this->client->call('rest.check', ['TOKEN' => $token]);
        if (!$answer->arrived()) {
            $backoff->failed($now, $answer->trouble());
            return null;
        }
        $backoff->succeeded($now);
        if ($answer->error() !== '') {
            return [
                'access_token' => $token,
                'error' => $answer->error(),
                'error_description' => $answer->description(),
            ];
        }
        return self::tokenInfo($token, $answer->result());
    }

    /**
     * @param array<mixed> $result
     * @return array<string, mixed>|null
     */
    private static function tokenInfo(string $token, array $result): ?array
    {
        $parameters = is_array($result['parameters'] ?? null) ? $result['parameters'] : [];
        if (!is_string($result['client_id'] ?? null) || !isset($parameters['LOCAL_USER'], $result['expires'])) {
            return null;
        }
        $userId = (int)$parameters['LOCAL_USER'];
        unset($parameters['LOCAL_USER']);
        $info = [
            'access_token' => $token,
            'client_id' => $result['client_id'],
            'expires' => (int)$result['expires'],
            'user_id' => $userId,
            'parameters' => $parameters,
        ];
        $scope = $result['scope'] ?? null;
        return $scope === null ? $info : $info + ['scope' => is_array($scope) ? implode(',', $scope) : (string)$scope];
    }
}
