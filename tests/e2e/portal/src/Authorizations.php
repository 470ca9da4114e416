<?php
// Promises: the portal vouches for a user: tokens by `rest.authorize`, codes by `rest.code`, and opening an app.
// Leans on: Relay, TokenCache (a fresh authorization is cached at once), Apps.
// Never: makes a token or code itself.
declare(strict_types=1);

namespace StandIn;

final class Authorizations
{
    public function __construct(
        private readonly State $state,
        private readonly Settings $settings,
        private readonly Identity $identity,
        private readonly Relay $relay,
        private readonly TokenCache $cache,
        private readonly Apps $apps,
        private readonly Events $events,
    ) {
    }

    /**
     * @param array<string, mixed> $extra further PARAMS, given back by `rest.check`
     */
    public function authorize(string $clientId, ?string $scope, array $extra, Hit $hit): RelayAnswer
    {
        $app = $this->state->row('SELECT scope, version FROM apps WHERE client_id = ?', $clientId);
        $params = $this->params($hit) + $extra;
        $fields = ['CLIENT_ID' => $clientId, 'SCOPE' => $scope ?? $app['scope'] ?? '', 'PARAMS' => $params];
        $answer = $this->relay->call('rest.authorize', $fields, $hit);
        if ($answer->error() === 'ERROR_OAUTH' && $answer->description() === 'Application not installed') {
            $version = $app['version'] ?? '1';
            $this->relay->call('application.install', ['CLIENT_ID' => $clientId, 'VERSION' => $version], $hit);
            $answer = $this->relay->call('rest.authorize', $fields, $hit);
        }
        $given = $answer->result();
        if (is_array($given) && ($given['access_token'] ?? '') !== '') {
            $this->cache->store((string) $given['access_token'], array_intersect_key($given, [
                'access_token' => 1, 'expires' => 1, 'scope' => 1, 'date_finish' => 1,
            ]) + ['client_id' => $clientId, 'parameters' => $params]);
        }

        return $answer;
    }

    public function code(string $clientId, string $state, Hit $hit): RelayAnswer
    {
        $fields = ['CLIENT_ID' => $clientId, 'STATE' => $state, 'PARAMS' => $this->params($hit)];

        return $this->relay->call('rest.code', $fields, $hit);
    }

    /**
     * Opens an app as a user does: one authorization, posted to the app's address (protocol §7).
     *
     * @param array<string, mixed> $placement code, options
     * @return array<string, mixed>
     */
    public function open(string $clientId, array $placement, bool $withApplicationToken, Hit $hit): array
    {
        $app = $this->apps->get($clientId);
        $answer = $this->authorize($clientId, null, [], $hit);
        $given = $answer->result();
        if (!is_array($given)) {
            return ['authorization' => $answer->export(), 'fields' => null, 'status' => 0, 'body' => ''];
        }
        $fields = [
            'AUTH_ID' => $given['access_token'] ?? '',
            'AUTH_EXPIRES' => $given['expires_in'] ?? 0,
            'REFRESH_ID' => $given['refresh_token'] ?? '',
            'SERVER_ENDPOINT' => $given['server_endpoint'] ?? '',
            'member_id' => $given['member_id'] ?? '',
            'status' => $given['status'] ?? '',
            'PLACEMENT' => $placement['code'] ?? 'DEFAULT',
            'PLACEMENT_OPTIONS' => json_encode((object) ($placement['options'] ?? [])),
        ];
        if ($withApplicationToken) {
            $fields['APPLICATION_TOKEN'] = $this->events->tokenOf($clientId);
            $fields['APPLICATION_SCOPE'] = $given['scope'] ?? '';
        }
        $origin = parse_url($this->identity->origin($hit));
        $query = http_build_query([
            'DOMAIN' => $origin['host'] . (isset($origin['port']) ? ":{$origin['port']}" : ''),
            'PROTOCOL' => $origin['scheme'] === 'https' ? 1 : 0,
            'LANG' => $this->settings->text('language'),
            'APP_SID' => bin2hex(random_bytes(16)),
        ]);
        $glue = str_contains($app['url'], '?') ? '&' : '?';
        $timeout = $this->settings->seconds('read_timeout_s');
        $page = (new RawHttp($timeout, $timeout))->post($app['url'] . $glue . $query, $fields);

        return [
            'authorization' => $answer->export(), 'fields' => $fields, 'status' => $page->status,
            'body' => mb_scrub($page->body, 'UTF-8'),
        ];
    }

    /** @return array<string, int> */
    private function params(Hit $hit): array
    {
        $user = $this->state->row('SELECT tz_offset FROM users WHERE id = ?', $hit->userId);

        return [
            'LOCAL_USER' => $hit->userId,
            'TZ_OFFSET' => $user['tz_offset'] ?? 0,
            'EVENT_SESSION' => $hit->eventSession,
        ];
    }
}
