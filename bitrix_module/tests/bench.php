<?php

// Promises: prints what one local validation costs beside one loopback round trip to rest.check, and their ratio.
// Leans on: opcache for the cold figure, as web servers have it; a bare responder, the cheapest relay there can be.
// Must never: fail a build by itself: run it with --assert for that.

declare(strict_types=1);


use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;
use Bitrelay\Tests\Server;
use Bitrelay\Tests\Temp;

spl_autoload_register(static function (string $class): void {
    $short = substr((string)strrchr($class, '\\'), 1);
    foreach (['harness', 'relay'] as $folder) {
        if (is_file(__DIR__ . '/' . $folder . '/' . $short . '.php')) {
            require_once __DIR__ . '/' . $folder . '/' . $short . '.php';
        }
    }
    if (str_starts_with($class, 'Bitrix\\')) {
        require_once __DIR__ . '/kernel/' . str_replace('\\', '/', $class) . '.php';
    }
});

$relay = (new ScriptedRelay('bench'))->start();
$relay->configure([
    'apps' => [[7, ScriptedRelay::APP_ID, 'crm,user', 'L', 1], ...array_map(static fn (int $i): array => [100 + $i, 'local.' . $i, 'crm', 'L', 1], range(1, 50))],
    'revoked' => array_map(static fn (int $i): array => [sprintf('%012x', $i), time() + 3600], range(1, 200)),
]);
$portal = Portal::connected('bench', $relay->url());

// The cheapest server there can be: it reads the request and answers the same bytes.
$answer = json_encode(['result' => ['client_id' => ScriptedRelay::APP_ID, 'expires' => time() + 3600, 'parameters' => ['LOCAL_USER' => 1]]]);
$port = Server::freePort();
$bare = new Server(['php', '-r', '$s = stream_socket_server("tcp://127.0.0.1:' . $port . '"); while (true) { $c = @stream_socket_accept($s, 600); if ($c) { fread($c, 65536); fwrite($c, ' . var_export("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " . strlen($answer) . "\r\n\r\n" . $answer, true) . '); fclose($c); } }'], $port, Temp::folder('bench-log') . '/log');
$bare->start();

$token = $relay->token();
$figures = $portal->php('
    \Bitrix\Main\Loader::includeModule("bitrelay.connector");
    $wiring = \Bitrelay\Connector\Wiring::instance();
    $inner = \Bitrix\Rest\OAuth\Auth::getStorage();
    $median = function (callable $act, int $times): float {
        $took = [];
        for ($i = 0; $i < $times; $i++) {
            $started = hrtime(true);
            $act();
            $took[] = hrtime(true) - $started;
        }
        sort($took);
        return $took[intdiv($times, 2)] / 1000;
    };
    $settings = $wiring->settings;
    $storage = $wiring->sealedStorage($inner);
    if (($storage->restore("' . $token . '")["client_id"] ?? "") !== "' . ScriptedRelay::APP_ID . '") {
        throw new \RuntimeException("the token was not accepted");
    }
    $cold = function () use ($inner, $settings) {
        // As the first call of a hit (the settings are read by then): bundle included from its file, key opened, user looked up.
        $wiring = new \Bitrelay\Connector\Wiring($settings);
        $wiring->sealedStorage($inner)->restore("' . $token . '");
    };
    $check = function (string $url) {
        $http = new \Bitrix\Main\Web\HttpClient(["socketTimeout" => 15, "streamTimeout" => 15]);
        \Bitrix\Main\Web\Json::decode($http->post($url . "/rest/rest.check", ["TOKEN" => "' . $token . '", "client_id" => "' . ScriptedRelay::PORTAL_ID . '", "client_secret" => "' . ScriptedRelay::PORTAL_SECRET . '"]));
    };
    return [
        "warm" => $median(fn () => $storage->restore("' . $token . '"), 5000),
        "cold" => $median($cold, 2000),
        "check" => $median(fn () => $check("' . $relay->url() . '"), 300),
        "bare" => $median(fn () => $check("http://127.0.0.1:' . $port . '"), 300),
        "opcache" => function_exists("opcache_get_status") && (opcache_get_status(false)["opcache_enabled"] ?? false),
    ];', [], ['opcache.enable_cli=1', 'opcache.revalidate_freq=2', 'opcache.file_update_protection=0']);
printf("local validation, later ones of a hit    %8.1f us\n", $figures['warm']);
printf("local validation, the first of a hit     %8.1f us, opcache %s\n", $figures['cold'], $figures['opcache'] ? 'on' : 'off');
printf("rest.check at a scripted relay           %8.1f us\n", $figures['check']);
printf("the same bytes from a bare responder     %8.1f us\n", $figures['bare']);
$ratio = $figures['check'] / $figures['warm'];
printf(
    "ratio: rest.check %.1f (first of a hit %.1f), bare responder %.1f (%.1f)\n",
    $ratio,
    $figures['check'] / $figures['cold'],
    $figures['bare'] / $figures['warm'],
    $figures['bare'] / $figures['cold']
);
if (in_array('--assert', $argv, true) && $ratio < 20) {
    fwrite(STDERR, "a local validation must be at least 20 times cheaper\n");
    exit(1);
}
