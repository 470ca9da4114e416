<?php

// Promises: sealed tokens and bundles come out as the Python side says.
// Leans on: tests/vectors, which both sides share.
// Must never: make vectors of its own.

declare(strict_types=1);


use Bitrelay\Connector\Token\Bundle;
use Bitrelay\Connector\Token\BundleJws;
use Bitrelay\Connector\Token\BundleRefused;
use Bitrelay\Connector\Token\SealedToken;
use Bitrelay\Connector\Token\Validator;
use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Issuer;

$vectors = static fn (string $name): array => json_decode((string)file_get_contents(dirname(__DIR__, 3) . '/tests/vectors/' . $name), true);
$bundle = $vectors('bundle.json');
$open = static fn (array $entry): array => BundleJws::open($entry['jws'], $bundle['jwks'], $bundle['issuer'], $bundle['member_id'], $bundle['now']);

return [
    'sealed vectors: claims and seals' => static function () use ($vectors): string {
        $all = $vectors('sealed.json');
        foreach ($all as $v) {
            $claims = SealedToken::peek($v['token']);
            $read = $claims === null ? null : [
                'expires' => $claims->expires, 'key_id' => $claims->keyId, 'user_id' => $claims->userId, 'app_number' => $claims->appNumber,
                'serial' => $claims->serial, 'event_session' => $claims->eventSession, 'tz_offset_min' => $claims->tzOffsetMin,
                'has_stored_parameters' => $claims->hasStoredParameters,
            ];
            Expect::same($v['claims'], $read, $v['name']);
            Expect::same($v['valid'], SealedToken::verify($v['token'], (string)hex2bin($v['key'])), $v['name']);
        }
        return count($all) . ' vectors';
    },
    'the test issuer seals the same bytes' => static function () use ($vectors): void {
        foreach ($vectors('sealed.json') as $v) {
            if ($v['valid']) {
                Expect::same($v['token'], Issuer::seal($v['claims'], (string)hex2bin($v['key'])), $v['name']);
            }
        }
    },
    'bundle vectors: believed or refused' => static function () use ($bundle, $open): string {
        foreach ($bundle['bundles'] as $entry) {
            try {
                $claims = $open($entry);
                Expect::true($entry['accepted'], $entry['name'] . ' was believed');
                Expect::same($bundle['claims'], $claims);
            } catch (BundleRefused $refused) {
                Expect::true(!$entry['accepted'], $entry['name'] . ': ' . $refused->getMessage());
            }
        }
        return count($bundle['bundles']) . ' bundles';
    },
    'a bundle opens its keys for this portal only' => static function () use ($bundle, $open): void {
        $b = new Bundle(Bundle::compile($open($bundle['bundles'][0])));
        foreach ($bundle['keys'] as $id => $hex) {
            Expect::same($hex, bin2hex((string)$b->sealingKey($id, $bundle['client_secret'], $bundle['member_id'])));
        }
        Expect::same(null, $b->sealingKey(1, 'another secret', $bundle['member_id']));
        Expect::same(null, $b->sealingKey(1, $bundle['client_secret'], str_repeat('0', 32)));
        Expect::same(null, $b->sealingKey(9, $bundle['client_secret'], $bundle['member_id']));
    },
    'token verdicts from the bundle alone' => static function () use ($bundle, $open): string {
        $b = new Bundle(Bundle::compile($open($bundle['bundles'][0])));
        foreach ($bundle['tokens'] as $v) {
            $verdict = Validator::judge($v['token'], SealedToken::peek($v['token']), $b, $bundle['client_secret'], $bundle['member_id'], $bundle['now']);
            Expect::same(str_replace('_', '', $v['verdict']), strtolower($verdict->name), $v['name']);
        }
        return count($bundle['tokens']) . ' tokens';
    },
    'a flipped bit anywhere breaks the seal' => static function (): void {
        $key = random_bytes(32);
        $token = Issuer::seal(['expires' => 1900000000, 'key_id' => 3, 'user_id' => 5, 'app_number' => 9, 'serial' => 'abcdef012345', 'event_session' => 3], $key);
        Expect::true(SealedToken::verify($token, $key), 'the token itself');
        for ($bit = 0; $bit < 280; $bit++) {
            $raw = (string)hex2bin($token);
            $raw[$bit >> 3] = chr(ord($raw[$bit >> 3]) ^ (1 << ($bit & 7)));
            Expect::true(!SealedToken::verify(bin2hex($raw), $key), 'bit ' . $bit);
        }
    },
    'a signature is checked for whatever r and s come out' => static function (): void {
        openssl_pkey_export(openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']), $pem);
        $jwks = Issuer::jwks($pem, 'k1');
        for ($i = 0; $i < 300; $i++) {
            $jws = Issuer::sign(['iss' => 'i', 'aud' => 'a', 'iat' => 1, 'exp' => 100 + $i, 'keys' => [], 'apps' => [], 'revoked' => [], 'through' => []], $pem, 'k1');
            Expect::same(100 + $i, BundleJws::open($jws, $jwks, 'i', 'a', 50)['exp']);
        }
    },
    'token info is what the stock validator wants' => static function () use ($bundle, $open): void {
        $b = new Bundle(Bundle::compile($open($bundle['bundles'][0])));
        $token = $bundle['tokens'][0]['token'];
        $claims = SealedToken::peek($token);
        Expect::same([
            'access_token' => $token, 'client_id' => 'local.app.12', 'scope' => 'crm,im', 'expires' => $claims->expires,
            'user_id' => 67, 'parameters' => ['EVENT_SESSION' => 6, 'TZ_OFFSET' => 10800],
        ], Validator::tokenInfo($token, $claims, $b));
    },
];
