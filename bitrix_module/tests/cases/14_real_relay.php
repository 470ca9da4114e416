<?php

// Promises: the module joined to a real relay: register, app, token checked on the spot, event to the handler.
// Leans on: RealRelay and the module's own doors.
// Must never: know anything of the relay but its contract.

declare(strict_types=1);


use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\RealRelay;
use Bitrelay\Tests\Sink;
use Bitrelay\Tests\Wait;

$web = '$_SERVER["HTTP_HOST"] = "portal.local";';
$open = '\Bitrix\Main\Loader::includeModule("bitrelay.connector"); $wiring = \Bitrelay\Connector\Wiring::instance();';
/** A portal that registered at the relay and had its one lost app repaired. */
$join = static function (string $name) use ($web, $open): array {
    $relay = new RealRelay($name);
    $relay->start();
    $relay->cli(['portal', 'add', 'http://portal.local', '--allow', '127.0.0.0/8']);
    $portal = new Portal('real-' . $name);
    $portal->install();
    $portal->addUser(1);
    $portal->php($web . $open . '\Bitrelay\Connector\Portal\Connecting::connect(
        new \Bitrelay\Connector\Relay\ConnectionCode("' . $relay->url() . '", "x", ""), \Bitrelay\Connector\Mode::All);');
    $answer = $portal->php($web . $open . '$a = \Bitrelay\Connector\Portal\Connecting::register($wiring->relay()); return [$a->trouble(), \Bitrelay\Connector\Portal\Connecting::isRegistered()];');
    Expect::true($answer[1], 'registered: ' . $answer[0]);
    $portal->addApp('no_client_id_1', '', 'crm,user', 'Orders');
    $repaired = $portal->php($web . $open . 'return \Bitrelay\Connector\Portal\DummyApps::repair($wiring->relay());');
    Expect::same(['repaired' => 1, 'troubles' => []], $repaired);
    $clientId = $portal->sql('SELECT CLIENT_ID FROM b_rest_app')[0]['CLIENT_ID'];
    return [$relay, $portal, $clientId];
};
$authorize = static fn (string $clientId): string => $web . 'return \Bitrix\Rest\Application::getAuthProvider()->get("' . $clientId . '", "crm,user", [], 1);';

return [
    'install, register, app, token, event to its handler, and all of it again with the relay away' => static function () use ($join, $authorize, $web, $open): string {
        [$relay, $portal, $clientId] = $join('join');
        $issued = $portal->php($authorize($clientId));
        Expect::same(70, strlen((string)($issued['access_token'] ?? '')), json_encode($issued));
        $seen = $portal->php(Hits::rest($issued['access_token']));
        Expect::same([true, 1, $clientId], [$seen['accepted'], $seen['user'], $seen['info']['client_id']]);
        Expect::same(7, (int)$seen['info']['parameters']['EVENT_SESSION']);

        $sink = new Sink('join');
        $portal->bindEvent($sink->url());
        $portal->php($web . Hits::deals(1, 3));
        Wait::until(static fn (): bool => count($sink->deliveries()) === 3, 'three deliveries');
        // Three deals are three lanes, so any of them may come first.
        $body = $sink->deliveries()[0]['body'];
        Expect::same(['ONCRMDEALADD', md5($portal->php('return \Bitrix\Rest\OAuthService::getEngine()->getClientId();'))], [$body['event'], $body['auth']['member_id']]);
        Expect::same(true, $portal->php(Hits::rest($body['auth']['access_token']))['accepted'], 'the token of the delivery works on the portal');

        $relay->stop();
        $portal->php(Hits::ageBundle(300));
        Expect::same(true, $portal->php(Hits::rest($issued['access_token']))['accepted'], 'relay away');
        $portal->php($web . Hits::deals(4, 5));
        Expect::same(5, $portal->php($open . 'return $wiring->outbox()->depth()["waiting"];'));
        $relay->start();
        $portal->php($open . '$wiring->state()->delete("backoff");' . Hits::agents(100));
        Wait::until(static fn (): bool => count($sink->deliveries()) === 8, 'eight deliveries');
        $ids = array_map(static fn (array $d): int => (int)$d['body']['data']['FIELDS']['ID'], $sink->deliveries());
        sort($ids);
        Expect::same(range(1, 8), $ids);
        return 'relay at ' . $relay->url();
    },
    'an item sent twice is delivered once' => static function () use ($join, $web, $open): void {
        [$relay, $portal] = $join('twice');
        $sink = new Sink('twice');
        $portal->bindEvent($sink->url());
        $relay->stop();
        $portal->php($web . Hits::deals(1, 2));
        $rows = $portal->sql('SELECT ITEM_ID, PAYLOAD FROM b_bitrelay_outbox ORDER BY ID');
        $relay->start();
        $run = $open . '$wiring->state()->delete("backoff"); return $wiring->courier()->run(5);';
        Expect::same(2, $portal->php($run));
        foreach ($rows as $row) {
            $portal->sql("INSERT INTO b_bitrelay_outbox (ITEM_ID, CREATED_AT, PAYLOAD) VALUES ('{$row['ITEM_ID']}', 1, '{$row['PAYLOAD']}')");
        }
        Expect::same(2, $portal->php($run));
        $portal->php($web . Hits::deals(3, 1));
        Wait::until(static fn (): bool => count($sink->deliveries()) >= 3, 'the third');
        Expect::same(3, count($sink->deliveries()));
    },
    'a revocation bites on the spot once the bundle is due, and holds with the relay away' => static function () use ($join, $authorize): void {
        [$relay, $portal, $clientId] = $join('revoke');
        $first = $portal->php($authorize($clientId))['access_token'];
        $second = $portal->php($authorize($clientId))['access_token'];
        Expect::same(true, $portal->php(Hits::rest($first))['accepted']);
        $secret = $portal->sql('SELECT CLIENT_SECRET FROM b_rest_app')[0]['CLIENT_SECRET'];
        $status = file_get_contents($relay->url() . '/oauth/revoke', false, stream_context_create(['http' => [
            'method' => 'POST', 'header' => 'Content-Type: application/x-www-form-urlencoded',
            'content' => http_build_query(['token' => $first, 'client_id' => $clientId, 'client_secret' => $secret]),
        ]]));
        Expect::true($status !== false, 'revoked');
        $portal->php(Hits::ageBundle(Bitrelay\Connector\Token\BundleKeeper::NOW_S + 1));
        Expect::same('invalid_token', $portal->php(Hits::rest($first))['error']);
        $relay->stop();
        $portal->php(Hits::ageBundle(3600));
        Expect::same('invalid_token', $portal->php(Hits::rest($first))['error']);
        Expect::same(true, $portal->php(Hits::rest($second))['accepted']);
    },
    'a portal from the cloud is adopted with its connection code: same member_id, same apps' => static function () use ($authorize, $web, $open): void {
        $relay = new RealRelay('adopt');
        $relay->start();
        $added = $relay->cli(['portal', 'add', 'http://portal.local', '--allow', '127.0.0.0/8']);
        $line = $added['connection_code'] ?? throw new Bitrelay\Tests\Skipped('`relay portal add --json` has no "connection_code"');
        $portal = new Portal('real-adopt');
        $portal->install();
        $portal->addUser(1);
        $portal->option('rest', 'service_client_id', 'local.from.the.cloud');
        $portal->option('rest', 'service_client_secret', 'cloud-secret-0123456789');
        $portal->addApp('local.old.app', 'old-app-secret', 'crm,user', 'Old app');
        $portal->php($web . $open . '\Bitrelay\Connector\Portal\Connecting::connect(\Bitrelay\Connector\Relay\ConnectionCode::parse("' . $line . '"), \Bitrelay\Connector\Mode::All);');
        $answer = $portal->php($web . $open . '$a = \Bitrelay\Connector\Portal\Adoption::send($wiring->relay(), \Bitrelay\Connector\Portal\Adoption::document("http://portal.local")); return [$a->trouble(), $a->result()];');
        Expect::same([md5('local.from.the.cloud'), 1], [$answer[1]['member_id'] ?? $answer[0], $answer[1]['adopted'] ?? null]);
        $token = $portal->php($authorize('local.old.app'))['access_token'];
        Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
    },
    'the check finds every line good' => static function () use ($join, $web): void {
        [$relay, $portal, $clientId] = $join('check');
        $portal->php($web . Hits::agents(1));
        $found = $portal->php($web . '\Bitrix\Main\Loader::includeModule("bitrelay.connector");
            return array_map(fn ($f) => $f->level . " " . $f->code . " " . \Bitrelay\Connector\Check\Diagnosis::text($f), (new \Bitrelay\Connector\Check\Diagnosis(\Bitrelay\Connector\Wiring::instance()))->run("' . $clientId . '", 1));');
        Expect::same([], array_values(array_filter($found, static fn (string $line): bool => !str_starts_with($line, 'ok ') && !str_starts_with($line, 'warn TLS_PLAIN'))));
    },
];
