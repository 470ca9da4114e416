<?php
// Promises: one HTTP exchange over a plain socket, the request byte for byte as the portal's own client writes it.
// Leans on: stream_socket_client; `Connection: close`, so an answer also ends with the connection.
// Never: judges the status code, retries, or throws for a network fault (that is an outcome, `failure`).
declare(strict_types=1);

namespace StandIn;

final class HttpAnswer
{
    /** @param array<string, string> $headers lower-case names, last value wins */
    public function __construct(
        public readonly string $request,
        public readonly int $status,
        public readonly array $headers,
        public readonly string $body,
        public readonly string $raw,
        public readonly string $failure,
    ) {
    }
}

final class RawHttp
{
    private const MAX_ANSWER_BYTES = 8_388_608;
    private const MAX_REDIRECTS = 5;

    public function __construct(
        private readonly float $connectTimeout,
        private readonly float $readTimeout,
        private readonly string $caFile = '',
    ) {
    }

    public function get(string $url): HttpAnswer
    {
        return $this->follow($url, null);
    }

    /** @param array<array-key, mixed> $fields */
    public function post(string $url, array $fields): HttpAnswer
    {
        return $this->follow($url, http_build_query($fields));
    }

    private function follow(string $url, ?string $form): HttpAnswer
    {
        for ($hops = 0; ; $hops++) {
            $answer = $this->exchange($url, $form);
            $location = $answer->headers['location'] ?? '';
            // Any status: the header alone makes the portal go on (protocol §2).
            if ($location === '' || $hops === self::MAX_REDIRECTS) {
                return $answer;
            }
            $url = self::resolve($url, $location);
            if (!in_array($answer->status, [307, 308], true)) {
                $form = null;
            }
        }
    }

    private function exchange(string $url, ?string $form): HttpAnswer
    {
        $parts = parse_url($url);
        if (!is_array($parts) || !isset($parts['host'])) {
            return new HttpAnswer('', 0, [], '', '', "not an address: $url");
        }
        $tls = ($parts['scheme'] ?? 'http') === 'https';
        $port = $parts['port'] ?? ($tls ? 443 : 80);
        $request = self::request($parts, $form);
        $context = stream_context_create($this->caFile === '' ? [] : ['ssl' => ['cafile' => $this->caFile]]);
        $address = ($tls ? 'tls' : 'tcp') . "://{$parts['host']}:$port";
        $socket = @stream_socket_client(
            $address, $code, $reason, $this->connectTimeout, STREAM_CLIENT_CONNECT, $context
        );
        if ($socket === false) {
            return new HttpAnswer($request, 0, [], '', '', "cannot connect: $reason");
        }
        stream_set_timeout($socket, (int) $this->readTimeout, (int) (fmod($this->readTimeout, 1.0) * 1e6));
        try {
            for ($rest = $request; $rest !== ''; $rest = substr($rest, $written)) {
                $written = @fwrite($socket, $rest);
                if ($written === false || $written === 0) {
                    return new HttpAnswer($request, 0, [], '', '', 'connection lost while sending');
                }
            }

            return self::read($socket, $request);
        } finally {
            fclose($socket);
        }
    }

    /** @param array<string, int|string> $parts */
    private static function request(array $parts, ?string $form): string
    {
        $path = ($parts['path'] ?? '/') . (isset($parts['query']) ? '?' . $parts['query'] : '');
        $head = ($form === null ? 'GET' : 'POST') . " $path HTTP/1.1\r\n"
            . "Host: {$parts['host']}\r\nConnection: close\r\nAccept: */*\r\nAccept-Language: en\r\n";
        if ($form === null) {
            return $head . "\r\n";
        }

        return $head . "Content-Type: application/x-www-form-urlencoded\r\n"
            . 'Content-Length: ' . strlen($form) . "\r\n\r\n" . $form;
    }

    /** @param resource $socket */
    private static function read($socket, string $request): HttpAnswer
    {
        $raw = '';
        while (($answer = self::parse($request, $raw, false)) === null) {
            $chunk = fread($socket, 65536);
            if ($chunk === false || $chunk === '') {
                if (stream_get_meta_data($socket)['timed_out']) {
                    return new HttpAnswer($request, 0, [], '', $raw, 'timed out while reading');
                }
                if ($chunk === false || feof($socket)) {
                    return self::parse($request, $raw, true)
                        ?? new HttpAnswer($request, 0, [], '', $raw, 'no HTTP answer');
                }
            }
            $raw .= $chunk;
            if (strlen($raw) > self::MAX_ANSWER_BYTES) {
                return new HttpAnswer($request, 0, [], '', '', 'answer too long');
            }
        }

        return $answer;
    }

    /** Null while the answer is not complete; `$ended` = the peer has closed, so what is there is all. */
    private static function parse(string $request, string $raw, bool $ended): ?HttpAnswer
    {
        $split = explode("\r\n\r\n", $raw, 2);
        if (count($split) < 2 || !preg_match('~^HTTP/\d\.\d (\d{3})~', $split[0], $found)) {
            return null;
        }
        if ($found[1][0] === '1') {
            return self::parse($request, $split[1], $ended);
        }
        $headers = [];
        foreach (array_slice(explode("\r\n", $split[0]), 1) as $line) {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            $headers[strtolower($name)] = trim($value);
        }
        $body = $split[1];
        if (stripos($headers['transfer-encoding'] ?? '', 'chunked') !== false) {
            $body = self::dechunk($body);
        } elseif (isset($headers['content-length'])) {
            $body = strlen($body) >= (int) $headers['content-length']
                ? substr($body, 0, (int) $headers['content-length'])
                : null;
        } elseif (!$ended) {
            return null;
        }
        if ($body === null) {
            return $ended ? new HttpAnswer($request, 0, [], '', $raw, 'answer cut short') : null;
        }

        return new HttpAnswer($request, (int) $found[1], $headers, $body, $raw, '');
    }

    private static function dechunk(string $body): ?string
    {
        $whole = '';
        while (preg_match('~^([0-9a-f]+)[^\r\n]*\r\n~i', $body, $found)) {
            $size = (int) hexdec($found[1]);
            $body = substr($body, strlen($found[0]));
            if ($size === 0) {
                return $whole;
            }
            if (strlen($body) < $size + 2) {
                return null;
            }
            $whole .= substr($body, 0, $size);
            $body = substr($body, $size + 2);
        }

        return null;
    }

    private static function resolve(string $from, string $location): string
    {
        if (preg_match('~^https?://~i', $location)) {
            return $location;
        }
        preg_match('~^(https?)://[^/?#]+~i', $from, $origin);
        if (str_starts_with($location, '//')) {
            return $origin[1] . ':' . $location;
        }

        return $origin[0] . '/' . ltrim($location, '/');
    }
}
