<?php
// Promises: the front door of the stand-in portal for each `php -S` that serve.php runs (or one started by hand).
// Leans on: src/; several workers, so that an app can call back while a call to the relay is under way.
// Never: serves a file, or lets events of a hit leave before the app has its answer.
declare(strict_types=1);

namespace StandIn;

use ErrorException;
use Throwable;

foreach ([
    'State', 'Settings', 'Hit', 'RawHttp', 'Identity', 'Relay', 'Events', 'Apps', 'Tokens', 'Authorizations', 'Deals',
    'RestMethods', 'RestServer', 'OAuthPages', 'Control', 'Portal',
] as $part) {
    require __DIR__ . "/src/$part.php";
}

/**
 * The body's length is given, so the client is done when the last byte arrives and does not wait for what follows.
 *
 * @param array<string, string> $headers
 */
function reply(int $status, array $headers, string $body): void
{
    http_response_code($status);
    foreach ($headers + ['Content-Length' => (string) strlen($body)] as $name => $value) {
        header("$name: $value", true, $status);
    }
    echo $body;
    while (ob_get_level() > 0) {
        ob_end_flush();
    }
    flush();
}

/** @param array<string, mixed> $document */
function reply_json(int $status, array $document): void
{
    $flags = JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR;
    reply($status, ['Content-Type' => 'application/json; charset=utf-8'], json_encode($document, $flags));
}

/** @return array<array-key, mixed> what a JSON body says; nothing for any other body */
function json_body(): array
{
    $body = json_decode((string) file_get_contents('php://input'), true);

    return is_array($body) ? $body : [];
}

function serve(Portal $portal): void
{
    $path = (string) parse_url('http://host' . $_SERVER['REQUEST_URI'], PHP_URL_PATH);
    $host = (string) ($_SERVER['HTTP_HOST'] ?? '127.0.0.1');
    if (preg_match('~^/__control/(.+)$~', $path, $found)) {
        $loopback = in_array($_SERVER['REMOTE_ADDR'], ['127.0.0.1', '::1'], true);
        reply_json(...($loopback
            ? (new Control($portal))->answer($found[1], json_body(), $host)
            : [403, ['error' => 'loopback only']]));

        return;
    }
    $hit = new Hit(
        $portal->settings->flag('cron'),
        $host,
        isset($_GET['bx24_request_id']) ? (string) $_GET['bx24_request_id'] : null,
    );
    if (preg_match('~^/+rest/~', $path)) {
        preg_match('~^Bearer\s+(\S+)$~i', (string) ($_SERVER['HTTP_AUTHORIZATION'] ?? ''), $bearer);
        $params = json_body() + $_POST + $_GET;
        reply_json(...$portal->rest->answer($path, $params, $bearer[1] ?? '', $hit));
        $portal->events->flush($hit);
    } elseif (preg_match('~^/+oauth/authorize/?$~', $path)) {
        reply(...$portal->pages->authorize($_GET, $hit));
    } elseif (preg_match('~^/+oauth/token/?$~', $path)) {
        reply(...$portal->pages->token($_GET, $hit));
    } else {
        reply(404, ['Content-Type' => 'text/plain'], 'No such page on the stand-in portal.');
    }
}

// A warning is a fault of the stand-in, and a test must see it.
set_error_handler(static function (int $level, string $text, string $file, int $line): bool {
    return (error_reporting() & $level) !== 0 ? throw new ErrorException($text, 0, $level, $file, $line) : false;
});

try {
    serve(Portal::fromEnvironment());
} catch (Throwable $e) {
    error_log((string) $e);
    if (!headers_sent()) {
        reply_json(500, ['fatal' => $e->getMessage()]);
    }
}
