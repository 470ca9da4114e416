<?php

// Promises: tokens of the relay are checked on the spot, and what cannot be is asked for without harm.
// Leans on: a scripted relay that is stopped and started.
// Must never: look past the answer an app would see.

declare(strict_types=1);


use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;

$pair = static function (string $name): array {
    $relay = (new ScriptedRelay($name))->start();
    $portal = Portal::connected($name, $relay->url());
    return [$relay, $portal];
};
$checks = static fn (ScriptedRelay $relay): int => count($relay->calls('/rest/rest.check'));

return [
    'a live token is accepted with no request to the relay, parameters included' => static function () use ($pair, $checks): void {
        [$relay, $portal] = $pair('live');
        $token = $relay->token(['event_session' => 5]);
        $seen = $portal->php(Hits::rest($token));
        Expect::same(true, $seen['accepted']);
        Expect::same([1, ScriptedRelay::APP_ID, 'crm,user', ['EVENT_SESSION' => 5, 'TZ_OFFSET' => 10800]], [
            $seen['user'], $seen['info']['client_id'], $seen['info']['scope'], $seen['info']['parameters'],
        ]);
        Expect::true(!isset($seen['info']['status'], $seen['info']['date_finish']), 'status would make the portal write its app row');
        Expect::same(true, $portal->php(Hits::rest($token, '_global'))['accepted'], 'REST v3');
        Expect::same(0, $checks($relay));
        Expect::same(1, count($relay->calls('/rest/relay.bundle')), 'one bundle serves all hits');
    },
    'the relay stopped: a live token works, one revoked before the last bundle does not' => static function () use ($pair): void {
        [$relay, $portal] = $pair('stopped');
        [$live, $revoked] = [$relay->token(), $relay->token(['serial' => 'aabbccddeeff'])];
        $relay->configure(['revoked' => [['aabbccddeeff', time() + 3600]]]);
        Expect::same(true, $portal->php(Hits::rest($live))['accepted']);
        $relay->stop();
        $portal->php(Hits::ageBundle(3600));
        foreach ([1, 2] as $time) {
            Expect::same(true, $portal->php(Hits::rest($live))['accepted'], 'live, time ' . $time);
            Expect::same('invalid_token', $portal->php(Hits::rest($revoked))['error'], 'revoked');
        }
    },
    'the relay up: a revocation bites as soon as the bundle is due, under a minute in the worst case' => static function () use ($pair): void {
        [$relay, $portal] = $pair('bites');
        $token = $relay->token(['serial' => 'aabbccddeeff']);
        Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
        $relay->configure(['revoked' => [['aabbccddeeff', time() + 3600]]]);
        Expect::same(true, $portal->php(Hits::rest($token))['accepted'], 'the bundle is seconds old');
        $portal->php(Hits::ageBundle(41));
        Expect::same('invalid_token', $portal->php(Hits::rest($token))['error'], 'renewed before the answer');
        $worst = Bitrelay\Connector\Token\BundleKeeper::NOW_S + Bitrelay\Connector\Token\BundleStore::SYNC_S;
        Expect::true($worst < 60, 'a minute');
    },
    'between the two ages the bundle is renewed after the answer' => static function () use ($pair): void {
        [$relay, $portal] = $pair('after');
        $token = $relay->token(['serial' => 'aabbccddeeff']);
        $portal->php(Hits::rest($token));
        $relay->configure(['revoked' => [['aabbccddeeff', time() + 3600]]]);
        $portal->php(Hits::ageBundle(25));
        Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
        Expect::same('invalid_token', $portal->php(Hits::rest($token))['error']);
    },
    'the agent renews the bundle without visitors' => static function () use ($pair): void {
        [$relay, $portal] = $pair('agent');
        $portal->php(Hits::agents(1));
        $relay->stop();
        Expect::same(true, $portal->php(Hits::rest($relay->token()))['accepted']);
    },
    'a new key is fetched when its first token comes, but not for every strange token' => static function () use ($pair, $checks): void {
        [$relay, $portal] = $pair('rotated');
        $portal->php(Hits::rest($relay->token()));
        $relay->configure(['listed_keys' => [1, 2]]);
        Expect::same(true, $portal->php(Hits::rest($relay->token(['key_id' => 2])))['accepted']);
        Expect::same(0, $checks($relay));
        $bundles = count($relay->calls('/rest/relay.bundle'));
        foreach ([9, 10, 11] as $key) {
            $portal->php(Hits::rest($relay->token(['key_id' => $key])));
        }
        Expect::same($bundles, count($relay->calls('/rest/relay.bundle')), 'at most one forced renewal in ten seconds');
        Expect::same(3, $checks($relay), 'the relay is asked instead');
    },
    'a token with more parameters at the relay is asked for, and its parameters come along' => static function () use ($pair, $checks): void {
        [$relay, $portal] = $pair('flagged');
        $seen = $portal->php(Hits::rest($relay->token(['has_stored_parameters' => true])));
        Expect::same(true, $seen['accepted']);
        Expect::same('yes', $seen['info']['parameters']['from_relay']);
        Expect::same(1, $checks($relay));
    },
    'forged, expired, out of scope, of a dead app: each refused for its reason' => static function () use ($pair, $checks): void {
        [$relay, $portal] = $pair('refused');
        $relay->configure(['apps' => [[7, ScriptedRelay::APP_ID, 'crm,user', 'L', 1], [8, 'local.app.off', 'crm', 'L', 0]]]);
        $token = $relay->token();
        $forged = substr($token, 0, -1) . ($token[69] === '0' ? '1' : '0');
        foreach ([
            [$forged, 'crm', 'invalid_token'],
            [$relay->token(['expires' => time() - 1]), 'crm', 'expired_token'],
            [$token, 'telephony', 'insufficient_scope'],
            [$relay->token(['app_number' => 8]), 'crm', 'invalid_token'],
            [$relay->token(['app_number' => 9]), 'crm', 'invalid_token'],
        ] as [$one, $scope, $error]) {
            $seen = $portal->php(Hits::rest($one, $scope));
            Expect::same([false, $error, 0], [$seen['accepted'], $seen['error'], $seen['user']]);
        }
        $portal->sql("UPDATE b_rest_app SET ACTIVE = 'N'");
        Expect::same('APPLICATION_NOT_FOUND', $portal->php(Hits::rest($token))['error']);
        Expect::same(0, $checks($relay));
    },
    'whoever may not log in is refused: never logged in, unconfirmed, unknown, switched off' => static function () use ($pair): void {
        [$relay, $portal] = $pair('users');
        $portal->addUser(2, '');
        $portal->addUser(3, '2026-11-01 10:00:00', 'abcd');
        $portal->addUser(4);
        $portal->addUser(6, '');
        $portal->sql("UPDATE b_user SET ACTIVE = 'N' WHERE ID = 4");
        $portal->sql("UPDATE b_user SET EXTERNAL_AUTH_ID = 'bot' WHERE ID = 6");
        foreach ([2 => 'ACCESS_DENIED', 3 => 'ACCESS_DENIED', 4 => 'authorization_error', 5 => 'ACCESS_DENIED', 6 => null] as $user => $error) {
            Expect::same($error, $portal->php(Hits::rest($relay->token(['user_id' => $user])))['error'], 'user ' . $user);
        }
        $portal->sql("UPDATE b_user SET LAST_LOGIN = '2026-11-02', LAST_ACTIVITY_DATE = '2026-11-02' WHERE ID = 2");
        Expect::same(true, $portal->php(Hits::rest($relay->token(['user_id' => 2])))['accepted'], 'a no is not remembered');
        Expect::same([true, 0], array_values(array_intersect_key($portal->php(Hits::rest($relay->token(['user_id' => 0]))), ['accepted' => 1, 'user' => 1])), 'a token of nobody');
    },
    'relay down and bundle over: a failure that is not cached, one time-out, then none' => static function () use ($pair): void {
        [$relay, $portal] = $pair('down');
        $token = $relay->token();
        $portal->php(Hits::rest($token));
        $portal->option('bitrelay.connector', 'read_timeout', '1');
        $relay->configure(['mode' => 'hang']);
        $portal->php(Hits::endBundle());
        $times = [];
        foreach ([1, 2, 3] as $hit) {
            $started = microtime(true);
            Expect::same('CONNECTION_ERROR', $portal->php(Hits::rest($token))['error']);
            $times[] = microtime(true) - $started;
        }
        Expect::true($times[0] > 1.0 && $times[0] < 3.0, 'the first hit takes the time-out: ' . $times[0]);
        Expect::true(max($times[1], $times[2]) < 0.9, 'the others do not: ' . max($times[1], $times[2]));
        $relay->stop();
        $relay->configure(['mode' => 'ok']);
        $relay->start();
        $portal->php('\Bitrix\Main\Loader::includeModule("bitrelay.connector"); \Bitrelay\Connector\Wiring::instance()->state()->delete("backoff");' . Hits::ageBundle(100));
        Expect::same(true, $portal->php(Hits::rest($token))['accepted'], 'nothing stood in the way');
    },
    'a bundle of another portal, or one that does not verify, changes nothing' => static function () use ($pair): void {
        [$relay, $portal] = $pair('foreign');
        $token = $relay->token();
        Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
        $relay->configure(['url' => 'https://evil.local', 'revoked' => [['ffffffffffff', 1]]]);
        $portal->php(Hits::ageBundle(100));
        Expect::same(true, $portal->php(Hits::rest($token))['accepted'], 'the believed one goes on');
        $reason = $portal->php('\Bitrix\Main\Loader::includeModule("bitrelay.connector");
            return \Bitrelay\Connector\Wiring::instance()->bundleKeeper()->renew(\CRestUtil::getMemberId(), time());');
        Expect::same('bundle refused: another issuer', $reason);
    },
    'an error in the stock cache does not stand against a sealed token' => static function () use ($pair): void {
        [$relay, $portal] = $pair('stale');
        $token = $relay->token();
        $portal->php('(new \Bitrix\Rest\OAuth\StorageCache())->store(["access_token" => "' . $token . '", "error" => "invalid_token"]);');
        Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
    },
    'a token of another shape is left to the stock code' => static function () use ($pair): void {
        [$relay, $portal] = $pair('shape');
        Expect::same(true, $portal->php(Hits::rest(str_repeat('ab', 20)))['accepted']);
        Expect::same(1, count($relay->calls('/rest/rest.check')));
        Expect::same(true, $portal->php(Hits::rest(str_repeat('ab', 20)))['accepted']);
        Expect::same(1, count($relay->calls('/rest/rest.check')), 'and to its cache');
    },
    'local validation off: the word of the relay is kept briefly, and the stock hour is not used' => static function () use ($pair, $checks): void {
        [$relay, $portal] = $pair('brief');
        $portal->option('bitrelay.connector', 'local_validation', 'N');
        $token = $relay->token();
        foreach ([1, 2] as $time) {
            Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
        }
        Expect::same(1, $checks($relay), 'one question serves both');
        $relay->configure(['checks' => [$token => ['error' => 'invalid_token', 'error_description' => 'revoked']]]);
        // The note grows old: the same entry, written a minute ago.
        $portal->php('$s = new \Bitrix\Rest\OAuth\StorageCache(); $i = $s->restore("' . $token . '"); $i["bitrelay_at"] -= 60; $s->rewrite($i);');
        Expect::same('invalid_token', $portal->php(Hits::rest($token))['error']);
        Expect::same('invalid_token', $portal->php(Hits::rest($token))['error']);
        Expect::same(2, $checks($relay), 'a refusal is kept briefly too');
    },
    'local validation off: what the stock provider cached for an hour is not believed' => static function () use ($pair, $checks): void {
        [$relay, $portal] = $pair('hour');
        $portal->option('bitrelay.connector', 'local_validation', 'N');
        $token = $relay->token();
        $portal->php('\Bitrix\Rest\OAuth\Auth::storeRegisteredAuth(["access_token" => "' . $token . '", "client_id" => "' . ScriptedRelay::APP_ID . '", "expires" => time() + 3600, "user_id" => 1, "scope" => "crm"]);');
        $relay->configure(['checks' => [$token => ['error' => 'invalid_token', 'error_description' => 'revoked']]]);
        Expect::same('invalid_token', $portal->php(Hits::rest($token))['error']);
        Expect::same(1, $checks($relay));
    },
    'a granted method confirmation reaches the app, though tokens are checked on the spot' => static function () use ($pair): void {
        [$relay, $portal] = $pair('confirm');
        $token = $relay->token();
        $ask = str_replace('return [', '\Bitrix\Rest\OAuth\Auth::updateTokenParameters(["access_token" => "' . $token . '", "parameters" => ["notify_allow" => ["voximplant.call" => 0]]]); return [', Hits::rest($token));
        $portal->php($ask);
        Expect::same(0, $portal->php(Hits::rest($token))['info']['parameters']['notify_allow']['voximplant.call'], 'waiting');
        // The person answers in a hit without REST, where the stock storage is alone.
        $portal->php('\Bitrix\Rest\OAuth\Auth::updateTokenParameters(["access_token" => "' . $token . '", "parameters" => ["notify_allow" => ["voximplant.call" => 1]]]);');
        $info = $portal->php(Hits::rest($token))['info'];
        Expect::same([1, 7], [$info['parameters']['notify_allow']['voximplant.call'], $info['parameters']['EVENT_SESSION']]);
        foreach (glob($portal->root . '/bitrix/cache/bitrelay.connector/*/*') as $name) {
            Expect::true(!str_contains($name, $token), 'no token in a file name');
        }
    },
    'the cache folder cleared or read-only: everything still works' => static function () use ($pair): void {
        [$relay, $portal] = $pair('cleared');
        $token = $relay->token();
        $portal->php(Hits::rest($token));
        exec('rm -rf ' . escapeshellarg($portal->root . '/bitrix/cache'));
        $relay->stop();
        Expect::same(true, $portal->php(Hits::rest($token))['accepted'], 'cleared');
        exec('rm -rf ' . escapeshellarg($portal->root . '/bitrix/cache'));
        file_put_contents($portal->root . '/bitrix/cache', 'in the way');
        Expect::same(true, $portal->php(Hits::rest($token))['accepted'], 'not writable');
    },
    'sealing keys lie nowhere in the clear' => static function () use ($pair): void {
        [$relay, $portal] = $pair('keys');
        $portal->php(Hits::rest($relay->token()));
        $key = hash('sha256', 'relay key 1');
        $stored = json_encode($portal->sql('SELECT * FROM b_bitrelay_state')) . json_encode($portal->sql('SELECT * FROM b_option'));
        foreach (glob($portal->root . '/bitrix/cache/bitrelay.connector/*') as $file) {
            $stored .= is_file($file) ? file_get_contents($file) : '';
        }
        foreach ([$key, base64_encode((string)hex2bin($key)), rtrim(strtr(base64_encode((string)hex2bin($key)), '+/', '-_'), '=')] as $form) {
            Expect::true(!str_contains($stored, $form), 'a sealing key is stored');
        }
        Expect::contains('bundle', $stored);
    },
];
