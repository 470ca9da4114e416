<?php
// Promises: who listens to which event, the items a fired event becomes, and one `rest.event.call` for all of a hit.
// Leans on: Relay; the order of keys in an item is the stock portal's (tests/wire).
// Never: keeps an event that the relay did not take: like the stock portal it is written down as lost, and gone.
declare(strict_types=1);

namespace StandIn;

final class Events
{
    /** What an event itself says of its delivery; a given key keeps its place before the defaults. */
    private const OWN_OPTIONS = [
        'ONAPPINSTALL' => ['sendRefreshToken' => true, 'category' => 'important'],
        'ONAPPUNINSTALL' => ['sendAuth' => false, 'category' => 'important'],
        'ONAPPTEST' => ['sendRefreshToken' => true],
        'ONOFFLINEEVENT' => ['sendRefreshToken' => true],
    ];
    private const DEFAULT_OPTIONS = ['category' => 'default', 'sendAuth' => true, 'sendRefreshToken' => false];

    /** @var list<array<string, mixed>> */
    private array $queue = [];

    public function __construct(
        private readonly State $state,
        private readonly Settings $settings,
        private readonly Identity $identity,
        private readonly Relay $relay,
    ) {
    }

    public function language(): string
    {
        return $this->settings->text('language');
    }

    public function bind(string $event, string $url, ?int $appId, int $userId, array $options = []): int
    {
        return $this->state->insert('handlers', [
            'app_id' => $appId, 'event' => strtoupper($event), 'url' => $url, 'user_id' => $userId,
            'options' => json_encode((object) $options),
        ]);
    }

    /**
     * Writes a handler row as it is: a chosen id, or an outgoing webhook (no app, a token of its own).
     *
     * @param array<string, mixed> $row
     */
    public function put(array $row): int
    {
        $client = (string) ($row['client_id'] ?? '');
        $app = $client === '' ? null : $this->state->row('SELECT id FROM apps WHERE client_id = ?', $client);
        $columns = array_intersect_key($row, array_flip(['id', 'event', 'url', 'user_id', 'application_token']));
        $columns += ['app_id' => $app['id'] ?? null, 'options' => json_encode((object) ($row['options'] ?? []))];

        return $this->state->insert('handlers', $columns, 'INSERT OR REPLACE');
    }

    /** @return list<array<string, mixed>> */
    public function handlers(): array
    {
        return $this->state->rows('SELECT * FROM handlers ORDER BY id');
    }

    /**
     * Queues one item for every handler of the event; they leave with flush().
     *
     * @param array<string, mixed> $options keys of `additional` that this firing sets itself
     */
    public function fire(string $event, mixed $data, Hit $hit, array $options = [], ?int $onlyApp = null): int
    {
        if ($hit->eventSession <= 0) {
            return 0;
        }
        $event = strtoupper($event);
        $handlers = $this->state->rows(
            'SELECT h.*, a.id AS app, a.client_id, a.client_secret, a.shared_key, a.application_token AS app_token
               FROM handlers h LEFT JOIN apps a ON a.id = h.app_id
              WHERE h.event = ? AND (? IS NULL OR h.app_id = ?) AND (a.id IS NULL OR a.active = 1) ORDER BY h.id',
            $event,
            $onlyApp,
            $onlyApp,
        );
        foreach ($handlers as $handler) {
            $this->queue[] = [
                'client_id' => $handler['client_id'],
                'additional' => $options + (self::OWN_OPTIONS[$event] ?? []) + self::DEFAULT_OPTIONS
                    + json_decode($handler['options'], true),
                'auth' => [
                    'EVENT_SESSION' => $hit->eventSession,
                    'LOCAL_USER' => $handler['user_id'] > 0 ? $handler['user_id'] : $hit->userId,
                    'application_token' => $handler['application_token'] !== ''
                        ? $handler['application_token']
                        : $this->applicationToken($handler['app'], $handler),
                ],
                'query' => $this->query($handler['url'], [
                    'event' => $event, 'event_handler_id' => $handler['id'], 'data' => $data,
                ], $hit),
            ];
        }

        return count($handlers);
    }

    /**
     * A robot of a business process: no event name, no EVENT_SESSION.
     *
     * @param array<string, mixed> $place WORKFLOW_ID, ACTIVITY_NAME, CODE
     * @param array<string, mixed> $data
     */
    public function robot(string $clientId, string $url, array $place, array $data, Hit $hit): void
    {
        $this->queue[] = [
            'client_id' => $clientId,
            'additional' => ['sendAuth' => true, 'sendRefreshToken' => true, 'category' => 'bizproc'],
            'auth' => $place + ['LOCAL_USER' => $hit->userId, 'application_token' => $this->tokenOf($clientId)],
            'query' => $this->query($url, $data, $hit),
        ];
    }

    /**
     * A message of a REST SMS provider. Without an author there is no `auth` at all. It does not wait for the
     * end of the hit, and its failure is the caller's.
     *
     * @param array<string, mixed> $data
     */
    public function sms(string $clientId, string $url, string $code, array $data, Hit $hit): RelayAnswer
    {
        $author = $hit->userId > 0;

        return $this->send([[
            'client_id' => $clientId,
            'additional' => ['sendAuth' => $author, 'sendRefreshToken' => false, 'category' => 'default'],
            'auth' => $author ? [
                'CODE' => $code, 'EVENT_SESSION' => $hit->eventSession, 'LOCAL_USER' => $hit->userId,
                'application_token' => $this->tokenOf($clientId),
            ] : null,
            'query' => $this->query($url, $data, $hit),
        ]], $hit);
    }

    /** Sends what the hit has queued, identical items once (26.x). Null = there was nothing to send. */
    public function flush(Hit $hit): ?RelayAnswer
    {
        $items = [];
        foreach ($this->queue as $item) {
            $items[serialize($item)] = $item;
        }
        $this->queue = [];

        return $items === [] ? null : $this->send(array_values($items), $hit);
    }

    /** @param list<array<string, mixed>> $items */
    public function send(array $items, Hit $hit): RelayAnswer
    {
        $answer = $this->relay->call('rest.event.call', ['QUERY' => $items], $hit);
        if (!$answer->result()) {
            $this->state->insert('lost', [
                'at' => microtime(true),
                'reason' => $answer->error() !== '' ? $answer->error() : $answer->failure,
                'items' => json_encode($items),
            ]);
        }

        return $answer;
    }

    /** @return array<string, mixed> */
    private function query(string $url, array $data, Hit $hit): array
    {
        return [
            'DOMAIN' => $this->identity->domain($hit),
            'QUERY_URL' => $url,
            'QUERY_DATA' => $data + ['ts' => $this->settings->now()],
        ];
    }

    public function tokenOf(string $clientId): string
    {
        $app = $this->state->row(
            'SELECT id, client_secret, shared_key, application_token AS app_token FROM apps WHERE client_id = ?',
            $clientId,
        );

        return $app === null ? '' : $this->applicationToken($app['id'], $app);
    }

    /** A pinned token, or the one computed from the row; an outgoing webhook without its own has none. */
    private function applicationToken(?int $id, array $app): string
    {
        if ($id === null || $app['app_token'] !== '') {
            return (string) $app['app_token'];
        }

        return md5(implode('|', [$this->identity->memberId(), $id, $app['client_secret'], $app['shared_key']]));
    }
}
