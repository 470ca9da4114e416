<?php
// Promises: protocol §4: what an app's token is worth on this portal, and what of the relay's word is kept an hour.
// Leans on: Relay (`rest.check`), State (tables `cache`, `apps`, `users`).
// Never: keeps an answer that was no JSON, and never forgets one that was, before its hour is over.
declare(strict_types=1);

namespace StandIn;

use RuntimeException;

/** An answer to an app that is an error: code, description, HTTP status. */
final class RestError extends RuntimeException
{
    public function __construct(public readonly string $error, string $description, public readonly int $status)
    {
        parent::__construct($description);
    }
}

final class TokenCache
{
    public function __construct(private readonly State $state, private readonly Settings $settings)
    {
    }

    /** @param array<string, mixed> $value */
    public function store(string $token, array $value): void
    {
        $this->state->insert('cache', [
            'name' => "oauth_$token",
            'value' => json_encode($value),
            'until' => $this->settings->now() + $this->settings->number('cache_ttl_s'),
        ], 'INSERT OR REPLACE');
    }

    /** @return array<string, mixed>|null */
    public function restore(string $token): ?array
    {
        $now = $this->settings->now();
        $row = $this->state->row('SELECT value FROM cache WHERE name = ? AND until > ?', "oauth_$token", $now);

        return $row === null ? null : json_decode($row['value'], true);
    }

    /** @return array<string, array{until: int, value: mixed}> */
    public function all(): array
    {
        $entries = [];
        foreach ($this->state->rows('SELECT * FROM cache ORDER BY name') as $row) {
            $entries[$row['name']] = ['until' => $row['until'], 'value' => json_decode($row['value'], true)];
        }

        return $entries;
    }

    public function clear(): void
    {
        $this->state->run('DELETE FROM cache');
    }
}

/** Who stands behind a valid token. */
final class Visitor
{
    /**
     * @param array<string, mixed> $app row of `apps`
     * @param list<string>|null $scope null = the relay named none, so none is checked
     */
    public function __construct(
        public readonly array $app,
        public readonly int $userId,
        public readonly ?array $scope,
        public readonly int $eventSession,
    ) {
    }

    /** @param string $scope `_global`, or the codes of which one is enough: `user|user_basic` */
    public function require(string $scope): void
    {
        $open = $scope === '_global' || $this->scope === null;
        if (!$open && array_intersect(explode('|', $scope), $this->scope) === []) {
            throw new RestError(
                'insufficient_scope',
                'The request requires higher privileges than provided by the access token',
                403,
            );
        }
    }
}

final class TokenGuard
{
    public function __construct(
        private readonly State $state,
        private readonly Settings $settings,
        private readonly Relay $relay,
        private readonly TokenCache $cache,
    ) {
    }

    /** @throws RestError when the token opens nothing */
    public function admit(string $token, string $scope, Hit $hit): Visitor
    {
        $known = $this->cache->restore($token) ?? $this->ask($token, $hit);
        if (isset($known['error'])) {
            throw new RestError((string) $known['error'], (string) ($known['error_description'] ?? ''), 401);
        }
        $app = $this->state->row('SELECT * FROM apps WHERE client_id = ?', (string) $known['client_id']);
        if ($app === null || $app['active'] !== 1) {
            throw new RestError('APPLICATION_NOT_FOUND', 'Application not found', 401);
        }
        if ((int) ($known['expires'] ?? 0) <= $this->settings->now()) {
            throw new RestError('expired_token', 'The access token provided has expired', 401);
        }
        $parameters = is_array($known['parameters'] ?? null) ? $known['parameters'] : [];
        $visitor = new Visitor(
            $app,
            (int) ($parameters['LOCAL_USER'] ?? 0),
            isset($known['scope']) ? explode(',', (string) $known['scope']) : null,
            (int) ($parameters['EVENT_SESSION'] ?? Hit::FRESH_SESSION),
        );
        $visitor->require($scope);
        if ($this->state->row('SELECT 1 FROM users WHERE id = ? AND active = 1', $visitor->userId) === null) {
            throw new RestError('authorization_error', 'Unable to authorize user', 401);
        }

        return $visitor;
    }

    /** @return array<string, mixed> */
    private function ask(string $token, Hit $hit): array
    {
        $lost = ['error' => 'CONNECTION_ERROR', 'error_description' => 'Error connecting to authorization server'];
        $answer = $this->relay->call('rest.check', ['TOKEN' => $token], $hit);
        if (!$answer->isJson) {
            return $lost;
        }
        $known = $answer->result();
        if ($answer->error() !== '') {
            $known = ['error' => $answer->error(), 'error_description' => $answer->description()];
        } elseif (!is_array($known) || ($known['client_id'] ?? '') === '') {
            $known = $lost;
        }
        // The key is the token the relay names; an error names none and lies under the one that was asked.
        $this->cache->store((string) ($known['access_token'] ?? $token), $known);
        if (isset($known['status']) && $known['status'] !== 'L') {
            $this->state->run('UPDATE apps SET status = ? WHERE client_id = ?', $known['status'], $known['client_id']);
        }

        return $known;
    }
}
