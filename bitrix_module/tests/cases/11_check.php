<?php

// Promises: the Check says what works and names what does not, with a remedy.
// Leans on: a scripted relay, and TLS servers with certificates made here.
// Must never: verify what the page looks like.

declare(strict_types=1);


use Bitrelay\Connector\Check\NetworkProbes;
use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;
use Bitrelay\Tests\Server;
use Bitrelay\Tests\Temp;

$check = static fn (Portal $portal, string $app = ScriptedRelay::APP_ID): array => $portal->php('
    \Bitrix\Main\Loader::includeModule("bitrelay.connector");
    $found = [];
    foreach ((new \Bitrelay\Connector\Check\Diagnosis(\Bitrelay\Connector\Wiring::instance()))->run("' . $app . '", 1) as $f) {
        $found[$f->code] = [$f->level, \Bitrelay\Connector\Check\Diagnosis::text($f), \Bitrelay\Connector\Check\Diagnosis::remedy($f)];
    }
    return $found;');
$levels = static fn (array $found): array => array_map(static fn (array $f): string => $f[0], $found);
/** A CA of its own and a server certificate signed by it. @return array{ca: string, pem: string} files */
$certificate = static function (string $name, string $altName, int $days): array {
    $folder = Temp::fresh('tls');
    file_put_contents($folder . '/openssl.cnf', "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:true\nkeyUsage=keyCertSign\n[leaf]\nsubjectAltName=$altName\n");
    $options = static fn (string $section): array => ['config' => $folder . '/openssl.cnf', 'x509_extensions' => $section, 'digest_alg' => 'sha256', 'private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1', 'private_key_bits' => 2048];
    $caKey = openssl_pkey_new($options('ca'));
    $ca = openssl_csr_sign(openssl_csr_new(['CN' => 'Company CA'], $caKey, $options('ca')), null, $caKey, 3650, $options('ca'), 1);
    $key = openssl_pkey_new($options('leaf'));
    $leaf = openssl_csr_sign(openssl_csr_new(['CN' => $name], $key, $options('leaf')), $ca, $caKey, $days, $options('leaf'), 2);
    openssl_x509_export($ca, $caPem);
    openssl_x509_export($leaf, $leafPem);
    openssl_pkey_export($key, $keyPem, null, $options('leaf'));
    file_put_contents($folder . '/ca.pem', $caPem);
    file_put_contents($folder . '/server.pem', $leafPem . $keyPem);
    return ['ca' => $folder . '/ca.pem', 'pem' => $folder . '/server.pem'];
};
/** A TLS server that answers every request with the same JSON. */
$serve = static function (string $pem): Server {
    $port = Server::freePort();
    $code = '$s = stream_socket_server("ssl://127.0.0.1:' . $port . '", $c, $t, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN, stream_context_create(["ssl" => ["local_cert" => "' . $pem . '"]]));
        while (true) { $p = @stream_socket_accept($s, 60); if ($p) { stream_set_timeout($p, 1); @fread($p, 65536); @fwrite($p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"result\":[\"methods\"]}"); @fclose($p); } }';
    $server = new Server(['php', '-r', $code], $port, Temp::folder('tls-logs') . '/log');
    $server->start();
    return $server;
};
$tls = static fn (Server $server, string $host, ?string $ca): array => array_map(
    static fn ($f): string => $f->level . ' ' . $f->code,
    (new NetworkProbes('https://' . $host . ':' . $server->port, $ca))->tls()
);

return [
    'everything well: every line is good but for what a test portal cannot have' => static function () use ($check, $levels): void {
        $relay = (new ScriptedRelay('check-good'))->start();
        $portal = Portal::connected('check-good', $relay->url());
        $portal->php(Hits::agents(1));
        $found = $levels($check($portal));
        Expect::same(['TLS_PLAIN'], array_keys(array_filter($found, static fn (string $l): bool => $l !== 'ok')));
        foreach (['PHP', 'CRYPTO', 'HANDLERS', 'CACHE', 'REDIRECT', 'CREDENTIALS', 'ECHO', 'CLOCK', 'BUNDLE', 'TOKEN', 'TOKEN_LOCAL', 'AGENTS', 'OUTBOX'] as $code) {
            Expect::same('ok', $found[$code] ?? null, $code);
        }
    },
    'each trouble is named with a remedy' => static function () use ($check): void {
        $relay = (new ScriptedRelay('check-bad'))->start();
        $relay->configure(['skew' => 500]);
        $portal = Portal::connected('check-bad', $relay->url());
        $portal->sql("DELETE FROM b_module_to_module WHERE TO_MODULE_ID = 'bitrelay.connector' AND TO_METHOD = 'onRestCheckAuth'");
        $portal->sql("INSERT INTO b_bitrelay_outbox (ITEM_ID, CREATED_AT, STATE, PAYLOAD, ERROR) VALUES ('a', 1, 'H', 'x', 'invalid_request')");
        $portal->sql("INSERT INTO b_bitrelay_outbox (ITEM_ID, CREATED_AT, STATE, PAYLOAD) VALUES ('b', 1, 'W', 'x')");
        $portal->option('rest', 'oauth_server', 'https://somebody.else');
        $found = $check($portal, '');
        foreach (['HANDLERS_MISSING', 'CLOCK_OFF', 'OUTBOX_HELD', 'OUTBOX_OLD', 'AGENTS_SILENT', 'REDIRECT_OPTION', 'TOKEN_NO_APP'] as $code) {
            Expect::true(isset($found[$code]), $code . ' is not among ' . implode(' ', array_keys($found)));
            Expect::true($found[$code][0] !== 'ok' && $found[$code][1] !== '' && $found[$code][2] !== '', $code);
            Expect::true(!str_contains($found[$code][1] . $found[$code][2], '#'), $code . ' has an empty place: ' . $found[$code][1]);
        }
        Expect::contains('rest:OnRestCheckAuth', $found['HANDLERS_MISSING'][1]);
        Expect::contains('500', $found['CLOCK_OFF'][1]);
    },
    'credentials refused, relay silent, portal unregistered' => static function () use ($check): void {
        $relay = (new ScriptedRelay('check-cred'))->start();
        $portal = Portal::connected('check-cred', $relay->url());
        $relay->configure(['portal_secret' => 'other']);
        Expect::contains('invalid_client', $check($portal)['CREDENTIALS_REFUSED'][1]);
        $relay->configure(['mode' => '503']);
        Expect::contains('HTTP 503 without JSON', $check($portal)['RELAY_SILENT'][1]);
        $relay->stop();
        Expect::same(true, isset($check($portal)['CONNECT_FAIL']));
        $portal->sql("DELETE FROM b_option WHERE MODULE_ID = 'rest' AND NAME = 'service_client_id'");
        Expect::same('fail', $check($portal)['CREDENTIALS_NONE'][0]);
    },
    'a name that does not resolve' => static function (): void {
        $found = (new NetworkProbes('https://no-such-host.invalid', null))->dns();
        Expect::same('DNS_FAIL', $found[0]->code);
        Expect::same([], (new NetworkProbes('https://127.0.0.1', null))->dns(), 'an address needs no DNS');
    },
    'TLS: the certificate is judged and the fault is named' => static function () use ($certificate, $serve, $tls): void {
        $good = $certificate('localhost', 'DNS:localhost,IP:127.0.0.1', 365);
        $server = $serve($good['pem']);
        Expect::same(['ok TLS'], $tls($server, 'localhost', $good['ca']));
        Expect::same(['ok TLS'], $tls($server, '127.0.0.1', $good['ca']), 'by address');
        Expect::same(['fail TLS_UNTRUSTED'], $tls($server, 'localhost', null));
        $other = $certificate('localhost', 'DNS:localhost', 365);
        Expect::same(['fail TLS_OTHER_CA'], $tls($server, 'localhost', $other['ca']));
        $server->stop(SIGKILL);
        Expect::same(['fail CONNECT_FAIL'], $tls($server, 'localhost', $good['ca']));

        $name = $certificate('relay.local', 'DNS:relay.local,DNS:*.relay.local', 365);
        $server = $serve($name['pem']);
        Expect::same(['fail TLS_NAME'], $tls($server, 'localhost', $name['ca']));
        $server->stop(SIGKILL);
        $soon = $certificate('localhost', 'DNS:localhost', 5);
        $server = $serve($soon['pem']);
        Expect::same(['warn TLS_SOON'], $tls($server, 'localhost', $soon['ca']));
        $server->stop(SIGKILL);
        $over = $certificate('localhost', 'DNS:localhost', 0);
        $server = $serve($over['pem']);
        $seen = $tls($server, 'localhost', $over['ca']);
        Expect::true($seen === ['fail TLS_EXPIRED'] || $seen === ['fail TLS_FUTURE'], implode($seen));
    },
    'the relay\'s own CA is trusted for its host, for the stock client too, and for no other host' => static function () use ($certificate, $serve): void {
        $tls = $certificate('localhost', 'DNS:localhost', 365);
        $server = $serve($tls['pem']);
        $portal = Portal::connected('check-ca', 'https://localhost:' . $server->port);
        $call = 'return \Bitrix\Rest\OAuthService::getEngine()->getClient()->call("methods");';
        Expect::same(false, (bool)$portal->php($call), 'unknown CA');
        $portal->option('bitrelay.connector', 'ca', (string)file_get_contents($tls['ca']));
        Expect::same(['result' => ['methods']], $portal->php($call));
        Expect::same(true, $portal->php('\Bitrix\Main\Loader::includeModule("bitrelay.connector"); return \Bitrelay\Connector\Wiring::instance()->relay()->call("methods")->succeeded();'));
        Expect::same(false, $portal->php('return (new \Bitrix\Main\Web\HttpClient())->get("https://127.0.0.1:' . $server->port . '/");'), 'another host');
    },
];
