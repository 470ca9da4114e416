<?php
// Promises: how this portal names itself on the wire: address, member id, licence values (protocol §2).
// Leans on: Settings.
// Never: guesses an address in cron mode: there is none, and the relay must cope.
declare(strict_types=1);

namespace StandIn;

final class Identity
{
    public function __construct(private readonly Settings $settings)
    {
    }

    public function registered(): bool
    {
        return $this->settings->text('service_client_id') !== '';
    }

    public function memberId(): string
    {
        return md5($this->settings->text('service_client_id'));
    }

    /** scheme://host[:port], the standard ports left out; `http://` alone from the console. */
    public function redirectUri(Hit $hit): string
    {
        if ($hit->cron) {
            return 'http://';
        }

        return $this->origin($hit);
    }

    /** Host without the port; empty from the console. */
    public function domain(Hit $hit): string
    {
        return $hit->cron ? '' : (string) parse_url($this->origin($hit), PHP_URL_HOST);
    }

    /** scheme://host[:port] of this hit, known even in cron mode (for pages that a browser opened). */
    public function origin(Hit $hit): string
    {
        $url = $this->settings->text('public_url');
        $parts = parse_url($url === '' ? 'http://' . $hit->host : $url);
        $scheme = $parts['scheme'] ?? 'http';
        $port = $parts['port'] ?? null;
        $shown = $port === null || in_array($port, [80, 443], true) ? '' : ":$port";

        return $scheme . '://' . ($parts['host'] ?? '') . $shown;
    }

    /** The fields that end the body of every `/rest/` call. @return array<string, string> */
    public function credentials(Hit $hit): array
    {
        return [
            'client_id' => $this->settings->text('service_client_id'),
            'client_secret' => $this->settings->text('service_client_secret'),
            'client_redirect_uri' => $this->redirectUri($hit),
            'member_id' => $this->memberId(),
        ];
    }

    /**
     * Adds BX_TYPE, BX_LICENCE and the BX_HASH over all values. A nested value counts as the word
     * "Array" in the hash, as PHP's implode() has it (inferred: seen only for flat bodies).
     *
     * @param array<string, mixed> $fields
     * @return array<string, mixed>
     */
    public function signed(array $fields): array
    {
        $key = $this->settings->text('licence_key');
        $code = $this->settings->text('licence_code');
        $fields['BX_TYPE'] = $this->settings->flag('intranet') ? 'CP' : 'BSM';
        $fields['BX_LICENCE'] = $code !== '' ? $code : md5('BITRIX' . $key . 'LICENCE');
        $words = array_map(static fn (mixed $v): string => is_array($v) ? 'Array' : (string) $v, $fields);
        $fields['BX_HASH'] = md5(md5(implode('|', $words)) . md5($key));

        return $fields;
    }
}
