<?php
// Promises: the portal's own /oauth/authorize/ (a code for the browser) and /oauth/token/ (forwards to the relay).
// Leans on: Authorizations, Relay.
// Never: chooses where the browser goes: the address is the relay's.
declare(strict_types=1);

namespace StandIn;

final class OAuthPages
{
    public function __construct(
        private readonly Settings $settings,
        private readonly Identity $identity,
        private readonly Authorizations $authorizations,
        private readonly Relay $relay,
    ) {
    }

    /**
     * @param array<array-key, mixed> $query
     * @return array{0: int, 1: array<string, string>, 2: string} status, headers, body
     */
    public function authorize(array $query, Hit $hit): array
    {
        $hit->userId = $this->settings->number('current_user');
        if ($hit->userId === 0) {
            return self::page(401, 'Log in to the portal.');
        }
        $client = (string) ($query['client_id'] ?? '');
        $answer = $this->authorizations->code($client, (string) ($query['state'] ?? ''), $hit);
        $given = $answer->result();
        if (!is_array($given)) {
            return $answer->isJson
                ? self::page(400, $answer->error() . ': ' . $answer->description())
                : self::page(503, $answer->failure);
        }
        $target = (string) ($given['redirect_uri'] ?? '');
        if ($target === '') {
            return self::page(200, (string) ($given['code'] ?? ''));
        }
        unset($given['redirect_uri']);
        $given['server_domain'] = $given['domain'] ?? '';
        $given['domain'] = (string) parse_url($this->identity->origin($hit), PHP_URL_HOST);
        $glue = str_contains($target, '?') ? '&' : '?';

        return [302, ['Location' => $target . $glue . http_build_query($given)], ''];
    }

    /**
     * @param array<array-key, mixed> $query
     * @return array{0: int, 1: array<string, string>, 2: string}
     */
    public function token(array $query, Hit $hit): array
    {
        $answer = $this->relay->forwardTokenRequest($query, $hit);
        if ($answer->failure !== '') {
            return self::page(502, $answer->failure);
        }
        $type = $answer->headers['content-type'] ?? 'text/html';

        return [$answer->status, ['Content-Type' => $type], $answer->body];
    }

    /** @return array{0: int, 1: array<string, string>, 2: string} */
    private static function page(int $status, string $text): array
    {
        return [$status, ['Content-Type' => 'text/html; charset=UTF-8'], '<p>' . htmlspecialchars($text) . '</p>'];
    }
}
