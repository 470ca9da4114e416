<?php

// Promises: says whether the relay's name resolves and its certificate is trusted, and if not, which and why.
// Leans on: PHP's own sockets, so that the reason is seen and not only the failure.
// Must never: send anything over a connection whose certificate was not verified.

declare(strict_types=1);

namespace Bitrelay\Connector\Check;

final class NetworkProbes
{
    private const CONNECT_S = 5;
    private const EXPIRES_SOON_S = 14 * 86400;

    private readonly string $scheme;
    private readonly string $host;
    private readonly int $port;

    public function __construct(string $relayUrl, private readonly ?string $caFile)
    {
        $parts = parse_url($relayUrl) ?: [];
        $this->scheme = (string)($parts['scheme'] ?? '');
        $this->host = trim((string)($parts['host'] ?? ''), '[]');
        $this->port = (int)($parts['port'] ?? ($this->scheme === 'http' ? 80 : 443));
    }

    /** @return list<Finding> */
    public function dns(): array
    {
        if ($this->host === '') {
            return [Finding::fail('URL_NONE')];
        }
        if (filter_var($this->host, FILTER_VALIDATE_IP) !== false) {
            return [];
        }
        $addresses = gethostbynamel($this->host) ?: [];
        return $addresses === []
            ? [Finding::fail('DNS_FAIL', ['HOST' => $this->host])]
            : [Finding::ok('DNS', ['HOST' => $this->host, 'ADDRESSES' => implode(', ', $addresses)])];
    }

    /** @return list<Finding> */
    public function tls(): array
    {
        if ($this->host === '') {
            return [];
        }
        if ($this->scheme === 'http') {
            $open = @fsockopen($this->address(), $this->port, $code, $text, self::CONNECT_S);
            if (is_resource($open)) {
                fclose($open);
                return [Finding::warn('TLS_PLAIN')];
            }
            return [$this->unreachable((string)$text)];
        }
        [$certificate, $trouble] = $this->handshake(true);
        if ($certificate !== null) {
            return [self::goodUntil((int)($certificate['validTo_time_t'] ?? 0))];
        }
        // Once more without verification, only to look at the certificate; nothing is sent.
        [$seen] = $this->handshake(false);
        return [$seen === null ? $this->unreachable($trouble) : $this->whatIsWrong($seen)];
    }

    private static function goodUntil(int $until): Finding
    {
        $values = ['UNTIL' => gmdate('Y-m-d', $until)];
        return $until - time() < self::EXPIRES_SOON_S
            ? Finding::warn('TLS_SOON', $values)
            : Finding::ok('TLS', $values);
    }

    /** @param array<mixed> $certificate */
    private function whatIsWrong(array $certificate): Finding
    {
        $values = [
            'HOST' => $this->host,
            'SUBJECT' => self::name($certificate['subject'] ?? null),
            'ISSUER' => self::name($certificate['issuer'] ?? null),
            'NAMES' => (string)($certificate['extensions']['subjectAltName'] ?? '–'),
            'UNTIL' => gmdate('Y-m-d', (int)($certificate['validTo_time_t'] ?? 0)),
            'FROM' => gmdate('Y-m-d', (int)($certificate['validFrom_time_t'] ?? 0)),
        ];
        if ((int)($certificate['validTo_time_t'] ?? 0) <= time()) {
            return Finding::fail('TLS_EXPIRED', $values);
        }
        if ((int)($certificate['validFrom_time_t'] ?? 0) > time()) {
            return Finding::fail('TLS_FUTURE', $values);
        }
        if (!$this->isNamed($values['NAMES'])) {
            return Finding::fail('TLS_NAME', $values);
        }
        return Finding::fail($this->caFile === null ? 'TLS_UNTRUSTED' : 'TLS_OTHER_CA', $values);
    }

    private function isNamed(string $names): bool
    {
        foreach (preg_split('/,\s*/', strtolower($names)) ?: [] as $name) {
            $name = (string)preg_replace('/^(dns|ip address):/', '', $name);
            $wild = str_starts_with($name, '*.')
                && substr_count($name, '.') === substr_count($this->host, '.')
                && str_ends_with(strtolower($this->host), substr($name, 1));
            if ($name === strtolower($this->host) || $wild) {
                return true;
            }
        }
        return false;
    }

    /** @return array{0: array<mixed>|null, 1: string} the peer's certificate, or what went wrong */
    private function handshake(bool $verify): array
    {
        $ssl = [
            'verify_peer' => $verify,
            'verify_peer_name' => $verify,
            'allow_self_signed' => !$verify,
            'peer_name' => $this->host,
            'SNI_enabled' => true,
            'capture_peer_cert' => true,
        ];
        if ($this->caFile !== null) {
            $ssl['cafile'] = $this->caFile;
        }
        $socket = @stream_socket_client(
            'ssl://' . $this->address() . ':' . $this->port,
            $code,
            $text,
            self::CONNECT_S,
            STREAM_CLIENT_CONNECT,
            stream_context_create(['ssl' => $ssl])
        );
        if ($socket === false) {
            return [null, (string)$text];
        }
        $captured = stream_context_get_params($socket)['options']['ssl']['peer_certificate'] ?? null;
        fclose($socket);
        $parsed = $captured === null ? false : openssl_x509_parse($captured);
        return [$parsed === false ? null : $parsed, ''];
    }

    private function unreachable(string $reason): Finding
    {
        return Finding::fail('CONNECT_FAIL', [
            'HOST' => $this->host,
            'PORT' => (string)$this->port,
            'ERROR' => $reason === '' ? '–' : mb_scrub($reason, 'UTF-8'),
        ]);
    }

    private function address(): string
    {
        return str_contains($this->host, ':') ? '[' . $this->host . ']' : $this->host;
    }

    private static function name(mixed $name): string
    {
        if (!is_array($name)) {
            return '–';
        }
        $common = $name['CN'] ?? $name['O'] ?? '–';
        return mb_scrub(is_array($common) ? implode(', ', $common) : (string)$common, 'UTF-8');
    }
}
