<?php
// Promises: every call from the portal to the relay: registration, `/rest/` methods, the forwarded token request.
// Leans on: RawHttp for the bytes, Identity for the names, State for the log of exchanges.
// Never: looks at the HTTP status or repeats a call, but for one `verification_needed` (protocol §2).
declare(strict_types=1);

namespace StandIn;

use Error;

/** The relay's answer broke the portal's code: the hit dies with status 500, as the stock one would. */
final class FatalAnswer extends Error
{
}

final class RelayAnswer
{
    private function __construct(
        public readonly bool $isJson,
        public readonly mixed $body,
        public readonly string $failure,
    ) {
    }

    public static function none(string $failure): self
    {
        return new self(false, null, $failure);
    }

    public static function from(HttpAnswer $answer): self
    {
        if ($answer->failure !== '') {
            return self::none($answer->failure);
        }
        $body = json_decode($answer->body, true);

        return json_last_error() === JSON_ERROR_NONE
            ? new self(true, $body, '')
            : self::none('the answer is no JSON');
    }

    public function error(): string
    {
        return is_array($this->body) ? (string) ($this->body['error'] ?? '') : '';
    }

    public function description(): string
    {
        return is_array($this->body) ? (string) ($this->body['error_description'] ?? '') : '';
    }

    public function result(): mixed
    {
        return is_array($this->body) ? ($this->body['result'] ?? null) : null;
    }

    /** @return array<string, mixed> */
    public function export(): array
    {
        return ['json' => $this->isJson, 'body' => $this->body, 'failure' => $this->failure];
    }
}

final class Relay
{
    public function __construct(
        private readonly State $state,
        private readonly Settings $settings,
        private readonly Identity $identity,
    ) {
    }

    /** @param array<string, mixed> $params */
    public function call(string $method, array $params, Hit $hit): RelayAnswer
    {
        if (!$this->identity->registered()) {
            $refusal = $this->settings->flag('auto_register') ? $this->register($hit) : null;
            if (!$this->identity->registered()) {
                return $refusal ?? RelayAnswer::none('the portal is not registered');
            }
        }
        $fields = array_merge($params, $this->identity->credentials($hit));
        $url = $this->settings->text('oauth_server') . '/rest/' . $method;
        if ($hit->requestId !== null) {
            $url .= '/?' . http_build_query(['bx24_request_id' => $hit->requestId]);
        }
        $answer = $this->post($method, $url, $fields, '');
        if ($answer->error() === 'verification_needed') {
            return $this->post($method, $url, $this->identity->signed($fields), '');
        }

        return $answer;
    }

    /**
     * Many calls in one. A command is a ready text or [method, parameters].
     *
     * @param array<array-key, string|array{0: string, 1?: array<array-key, mixed>}> $commands
     */
    public function batch(array $commands, Hit $hit): RelayAnswer
    {
        $texts = array_map(
            static fn (string|array $command): string => is_string($command)
                ? $command
                : $command[0] . '?' . http_build_query($command[1] ?? []),
            $commands,
        );

        return $this->call('batch', ['cmd' => $texts], $hit);
    }

    /**
     * Asks for the portal's own credentials (protocol §3). An error or a body that is no JSON changes nothing;
     * any other JSON object is believed, so `{}` wipes what was there; other JSON kills the hit.
     */
    public function register(Hit $hit): RelayAnswer
    {
        $fields = ['redirect_uri' => $this->identity->redirectUri($hit), 'type' => 'B'];
        if ($this->identity->registered()) {
            $fields['member_id'] = $this->identity->memberId();
        }
        $url = $this->settings->text('oauth_server') . '/oauth/register/';
        $answer = $this->post('register', $url, $this->identity->signed($fields), 'register_');
        if (!$answer->isJson || $answer->error() !== '') {
            return $answer;
        }
        if (!is_array($answer->body)) {
            throw new FatalAnswer('The answer to a registration is JSON but no object.');
        }
        $this->settings->set([
            'service_client_id' => $answer->body['client_id'] ?? '',
            'service_client_secret' => $answer->body['client_secret'] ?? '',
        ]);
        if ($this->identity->registered()) {
            $this->learnApplications($hit);
        }

        return $answer;
    }

    /** The portal's own /oauth/token/ passes an app's query on and gives back what came. */
    public function forwardTokenRequest(array $query, Hit $hit): HttpAnswer
    {
        $timeout = $this->settings->seconds('proxy_timeout_s');
        $query = ['bx_proxy_from' => (string) parse_url($this->identity->origin($hit), PHP_URL_HOST)] + $query;
        $url = $this->settings->text('oauth_server') . '/oauth/token/?' . http_build_query($query);
        $answer = (new RawHttp($timeout, $timeout, $this->settings->text('ca_file')))->get($url);
        $this->log('oauth/token', $url, $answer);

        return $answer;
    }

    /** Adds every app that the relay lists and the portal does not know (inferred: right after registering). */
    private function learnApplications(Hit $hit): void
    {
        $listed = $this->call('application.list', [], $hit)->result();
        foreach (is_array($listed) ? $listed : [] as $app) {
            $id = is_array($app) ? (string) ($app['CLIENT_ID'] ?? $app['client_id'] ?? '') : '';
            if ($id !== '') {
                $this->state->insert('apps', ['client_id' => $id, 'status' => 'F'], 'INSERT OR IGNORE');
            }
        }
    }

    /** @param array<string, mixed> $fields */
    private function post(string $purpose, string $url, array $fields, string $timeouts): RelayAnswer
    {
        $http = new RawHttp(
            $this->settings->seconds($timeouts . 'connect_timeout_s'),
            $this->settings->seconds($timeouts . 'read_timeout_s'),
            $this->settings->text('ca_file'),
        );
        $answer = $http->post($url, $fields);
        $this->log($purpose, $url, $answer);

        return RelayAnswer::from($answer);
    }

    private function log(string $purpose, string $url, HttpAnswer $answer): void
    {
        $this->state->insert('exchanges', [
            'at' => microtime(true), 'purpose' => $purpose, 'url' => $url, 'request' => $answer->request,
            'status' => $answer->status, 'answer' => $answer->raw, 'failure' => $answer->failure,
        ]);
    }
}
