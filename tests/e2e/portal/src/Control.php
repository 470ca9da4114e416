<?php
// Promises: `/__control/NAME`, JSON in and out: everything a person could do in the portal's pages, and a look inside.
// Leans on: all other parts; events fired here leave before the answer, so a test sees what became of them.
// Never: answers anyone but loopback.
declare(strict_types=1);

namespace StandIn;

use InvalidArgumentException;

final class Control
{
    public function __construct(private readonly Portal $portal)
    {
    }

    /**
     * @param array<string, mixed> $in
     * @return array{0: int, 1: array<string, mixed>} HTTP status and JSON document
     */
    public function answer(string $name, array $in, string $host): array
    {
        $hit = new Hit(
            (bool) ($in['cron'] ?? false) || $this->portal->settings->flag('cron'),
            $host,
            isset($in['request_id']) ? (string) $in['request_id'] : null,
            (int) ($in['user_id'] ?? 1),
            (int) ($in['session'] ?? Hit::FRESH_SESSION),
        );
        try {
            $result = $this->run($name, $in, $hit);

            return [200, ['result' => $result, 'event_call' => $this->portal->events->flush($hit)?->export()]];
        } catch (InvalidArgumentException $e) {
            return [400, ['error' => $e->getMessage()]];
        }
    }

    /** @param array<string, mixed> $in */
    private function run(string $name, array $in, Hit $hit): mixed
    {
        $portal = $this->portal;
        $client = (string) ($in['client_id'] ?? '');
        $data = is_array($in['data'] ?? null) ? $in['data'] : [];

        return match ($name) {
            'ping' => ['php' => PHP_VERSION],
            'options' => $this->options($in),
            'register' => $portal->relay->register($hit)->export(),
            'call' => $portal->relay->call((string) $in['method'], $in['params'] ?? [], $hit)->export(),
            'batch' => $portal->relay->batch($in['commands'] ?? [], $hit)->export(),

            'app/list' => $portal->apps->all(),
            'app/add' => $portal->apps->add($in, $hit),
            'app/update' => $portal->apps->update($client, $in, $hit),
            'app/delete' => $portal->apps->delete($client, (bool) ($in['clean'] ?? true), $hit),
            'app/install' => $portal->apps->install($client, $hit),
            'app/put' => $portal->apps->put($in),
            'app/open' => $portal->authorizations->open(
                $client,
                ['code' => $in['placement'] ?? 'DEFAULT', 'options' => $in['placement_options'] ?? []],
                (bool) ($in['with_application_token'] ?? false),
                $hit,
            ),
            'app/token' => $portal->events->tokenOf($client),
            'authorize' => $portal->authorizations->authorize($client, $in['scope'] ?? null, $in['params'] ?? [], $hit)
                ->export(),
            'code' => $portal->authorizations->code($client, (string) ($in['state'] ?? ''), $hit)->export(),

            'handler/list' => $portal->events->handlers(),
            'handler/put' => $portal->events->put($in),
            'handler/clear' => $portal->state->run('DELETE FROM handlers'),
            'event/fire' => $portal->events->fire((string) $in['event'], $data, $hit, $in['options'] ?? []),
            'event/items' => $portal->events->send($in['items'] ?? [], $hit)->export(),
            'event/robot' => $portal->events->robot($client, (string) $in['url'], $in['place'] ?? [], $data, $hit),
            'event/sms' => $portal->events->sms($client, (string) $in['url'], (string) $in['code'], $data, $hit)
                ->export(),
            'event/lost' => $this->lost(),

            'exchanges' => $this->exchanges($in),
            'exchanges/clear' => $portal->state->run('DELETE FROM exchanges'),
            'cache' => (object) $portal->cache->all(),
            'cache/clear' => $portal->cache->clear(),
            'user/put' => $portal->state->insert('users', [
                'id' => (int) $in['user_id'], 'active' => (int) ($in['active'] ?? 1),
                'admin' => (int) ($in['admin'] ?? 1), 'tz_offset' => (int) ($in['tz_offset'] ?? 0),
            ], 'INSERT OR REPLACE'),
            'deal/fill' => $this->fillDeals((int) $in['count']),
            default => throw new InvalidArgumentException("No control call is named '$name'."),
        };
    }

    /** @param array<string, mixed> $in */
    private function options(array $in): array
    {
        $this->portal->settings->set($in['set'] ?? []);

        return $this->portal->settings->all() + [
            'registered' => $this->portal->identity->registered(),
            'member_id' => $this->portal->identity->memberId(),
        ];
    }

    /** Bytes travel as base64, for JSON has no bytes. @param array<string, mixed> $in */
    private function exchanges(array $in): array
    {
        $purpose = $in['purpose'] ?? null;
        $sql = 'SELECT * FROM exchanges WHERE ? IS NULL OR purpose = ? ORDER BY id';

        return array_map(static fn (array $row): array => [
            'request' => base64_encode($row['request']), 'answer' => base64_encode($row['answer']),
        ] + $row, $this->portal->state->rows($sql, $purpose, $purpose));
    }

    private function lost(): array
    {
        return array_map(
            static fn (array $row): array => ['items' => json_decode($row['items'], true)] + $row,
            $this->portal->state->rows('SELECT * FROM lost ORDER BY id'),
        );
    }

    /** A long list for client libraries to page through, without events. */
    private function fillDeals(int $count): int
    {
        for ($i = 1; $i <= $count; $i++) {
            $this->portal->deals->insert(['TITLE' => "Deal $i", 'OPPORTUNITY' => (string) ($i * 10)]);
        }

        return $count;
    }
}
