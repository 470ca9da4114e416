<?php
// Promises: the REST methods of the stand-in and the scope each of them needs.
// Leans on: Events for handlers, Deals for the one list that apps can page through.
// Never: runs for a visitor whose scope was not checked by the caller.
declare(strict_types=1);

namespace StandIn;

final class RestMethods
{
    private const SCOPES = [
        'app.info' => '_global', 'batch' => '_global', 'event.bind' => '_global', 'event.get' => '_global',
        'event.test' => '_global', 'event.unbind' => '_global', 'events' => '_global', 'methods' => '_global',
        'profile' => '_global', 'scope' => '_global', 'server.time' => '_global',
        'user.current' => 'user|user_basic|user_brief',
        'crm.deal.add' => 'crm', 'crm.deal.get' => 'crm', 'crm.deal.list' => 'crm', 'crm.deal.update' => 'crm',
    ];
    private const EVENTS = [
        '_global' => [
            'ONAPPINSTALL', 'ONAPPMETHODCONFIRM', 'ONAPPPAYMENT', 'ONAPPTEST', 'ONAPPUNINSTALL', 'ONAPPUPDATE',
            'ONOFFLINEEVENT',
        ],
        'user' => ['ONUSERADD'],
        'crm' => ['ONCRMDEALADD', 'ONCRMDEALDELETE', 'ONCRMDEALUPDATE'],
    ];
    private const PORTAL_SCOPES = ['bizproc', 'crm', 'im', 'imbot', 'placement', 'user', 'user_basic', 'user_brief'];

    public function __construct(
        private readonly State $state,
        private readonly Settings $settings,
        private readonly Events $events,
        private readonly Deals $deals,
    ) {
    }

    public function scopeOf(string $method): string
    {
        return self::SCOPES[$method]
            ?? throw new RestError('ERROR_METHOD_NOT_FOUND', 'Method not found!', 404);
    }

    /**
     * @param array<array-key, mixed> $params
     * @return array<string, mixed> `result`, for lists also `total` and `next`
     */
    public function run(string $method, array $params, Visitor $visitor, Hit $hit): array
    {
        // Libraries write `FIELDS` and `fields`, the portal takes both.
        $params = array_change_key_case($params, CASE_LOWER);

        return match ($method) {
            'crm.deal.list' => $this->deals->list($params),
            'crm.deal.get' => ['result' => $this->deals->get($params)],
            'crm.deal.add' => ['result' => $this->deals->add($params, $hit)],
            'crm.deal.update' => ['result' => $this->deals->update($params, $hit)],
            'event.bind' => ['result' => $this->bind($params, $visitor)],
            'event.unbind' => ['result' => ['count' => $this->unbind($params, $visitor)]],
            'event.get' => ['result' => $this->bound($visitor)],
            'event.test' => ['result' => $this->test($params, $visitor, $hit)],
            'events' => ['result' => $this->eventsFor($visitor)],
            'methods' => ['result' => array_keys(self::SCOPES)],
            'scope' => ['result' => empty($params['full']) ? $visitor->scope ?? [] : self::PORTAL_SCOPES],
            'app.info' => ['result' => $this->appInfo($visitor)],
            'profile' => ['result' => $this->profile($visitor)],
            'user.current' => ['result' => $this->currentUser($visitor)],
            'server.time' => ['result' => date('c', $this->settings->now())],
        };
    }

    private function bind(array $params, Visitor $visitor): bool
    {
        $event = strtoupper(self::needed($params, 'event'));
        $url = self::needed($params, 'handler');
        $user = (int) ($params['auth_type'] ?? 0);
        if (!in_array($event, $this->eventsFor($visitor), true)) {
            throw new RestError('ERROR_EVENT_NOT_FOUND', 'Event not found!', 400);
        }
        if (($params['event_type'] ?? 'online') === 'offline') {
            throw new RestError('ERROR_ARGUMENT', 'Offline events are not part of the stand-in portal', 400);
        }
        $bound = $this->state->row(
            'SELECT 1 FROM handlers WHERE app_id = ? AND event = ? AND url = ? AND user_id = ?',
            $visitor->app['id'],
            $event,
            $url,
            $user,
        );
        if ($bound !== null) {
            throw new RestError('ERROR_CORE', 'Unable to set event handler: Handler already binded', 400);
        }
        $options = is_array($params['options'] ?? null) ? $params['options'] : [];
        $this->events->bind($event, $url, $visitor->app['id'], $user, $options);

        return true;
    }

    private function unbind(array $params, Visitor $visitor): int
    {
        $user = isset($params['auth_type']) ? (int) $params['auth_type'] : null;

        return $this->state->run(
            'DELETE FROM handlers WHERE app_id = ? AND event = ? AND url = ? AND (? IS NULL OR user_id = ?)',
            $visitor->app['id'],
            strtoupper(self::needed($params, 'event')),
            self::needed($params, 'handler'),
            $user,
            $user,
        );
    }

    /** @return list<array<string, string>> */
    private function bound(Visitor $visitor): array
    {
        $sql = 'SELECT event, url, user_id FROM handlers WHERE app_id = ? ORDER BY id';

        return array_map(static fn (array $row): array => [
            'event' => $row['event'], 'handler' => $row['url'], 'auth_type' => (string) $row['user_id'],
            'offline' => '0',
        ], $this->state->rows($sql, $visitor->app['id']));
    }

    private function test(array $params, Visitor $visitor, Hit $hit): bool
    {
        $data = ['QUERY' => $params, 'LANGUAGE_ID' => $this->settings->text('language')];
        $this->events->fire('ONAPPTEST', $data, $hit, [], $visitor->app['id']);

        return true;
    }

    /** @return list<string> */
    private function eventsFor(Visitor $visitor): array
    {
        $open = static fn (string $scope): bool => $scope === '_global' || $visitor->scope === null
            || in_array($scope, $visitor->scope, true);

        return array_merge(...array_values(array_filter(self::EVENTS, $open, ARRAY_FILTER_USE_KEY)));
    }

    /** @return array<string, mixed> */
    private function appInfo(Visitor $visitor): array
    {
        return [
            'ID' => $visitor->app['id'], 'CODE' => $visitor->app['client_id'],
            'VERSION' => (int) $visitor->app['version'], 'STATUS' => $visitor->app['status'],
            'INSTALLED' => $visitor->app['installed'] === 1, 'PAYMENT_EXPIRED' => 'N', 'DAYS' => null,
            'LANGUAGE_ID' => $this->settings->text('language'), 'LICENSE' => 'ru_selfhosted',
        ];
    }

    /** @return array<string, mixed> */
    private function profile(Visitor $visitor): array
    {
        $user = $this->state->row('SELECT * FROM users WHERE id = ?', $visitor->userId);

        return [
            'ID' => (string) $visitor->userId, 'ADMIN' => ($user['admin'] ?? 0) === 1,
            'NAME' => "User {$visitor->userId}", 'LAST_NAME' => '', 'PERSONAL_GENDER' => '', 'TIME_ZONE' => '',
        ];
    }

    /** @return array<string, mixed> */
    private function currentUser(Visitor $visitor): array
    {
        return [
            'ID' => (string) $visitor->userId, 'ACTIVE' => true, 'NAME' => "User {$visitor->userId}",
            'LAST_NAME' => '', 'EMAIL' => "user{$visitor->userId}@portal.invalid", 'IS_ONLINE' => 'Y',
            'TIME_ZONE' => '', 'USER_TYPE' => 'employee', 'UF_DEPARTMENT' => [1],
        ];
    }

    private static function needed(array $params, string $name): string
    {
        $value = $params[$name] ?? '';
        if (!is_string($value) || $value === '') {
            throw new RestError('ERROR_ARGUMENT', "Argument '" . strtoupper($name) . "' is null or empty", 400);
        }

        return $value;
    }
}
