<?php

// Promises: the small pure parts keep their promises.
// Leans on: nothing but themselves.
// Must never: need a portal.

declare(strict_types=1);


use Bitrelay\Connector\Outbox\FormBody;
use Bitrelay\Connector\Outbox\Item;
use Bitrelay\Connector\Portal\HostList;
use Bitrelay\Connector\Portal\NodeCache;
use Bitrelay\Connector\Relay\Backoff;
use Bitrelay\Connector\Relay\ConnectionCode;
use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Settings;
use Bitrelay\Connector\Subscriptions;
use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Temp;

$code = static fn (array $fields): string => rtrim(strtr(base64_encode(json_encode($fields)), '+/', '-_'), '=');
$queryItem = [
    'client_id' => null,
    'additional' => ['category' => 'default', 'sendAuth' => true, 'sendRefreshToken' => false],
    'auth' => ['EVENT_SESSION' => 7, 'LOCAL_USER' => '1', 'application_token' => 'abc'],
    'query' => ['DOMAIN' => '', 'QUERY_URL' => 'http://h/?a=1&b=2', 'QUERY_DATA' => [
        'event' => 'ONX', 'data' => ['T' => "Привет & \u{1F600} 100% +", 'f' => 1.5, 'n' => null, 'e' => [], 'l' => [true, false, ''], 'a b' => 'c'], 'ts' => 1,
    ]],
];

return [
    'connection code: read, with white space around and inside' => static function () use ($code): void {
        $line = $code(['v' => 1, 'url' => 'https://relay.local:8443/', 'code' => 'abc']);
        $read = ConnectionCode::parse('  ' . chunk_split($line, 20, "\n"));
        Expect::same(['https://relay.local:8443', 'abc', ''], [$read->url, $read->code, $read->ca]);
    },
    'connection code: refused when not wholly understood' => static function () use ($code): void {
        $bad = [
            '' => 'CODE_MALFORMED', 'not base64 !' => 'CODE_MALFORMED', $code(['v' => 2, 'url' => 'https://r', 'code' => 'x']) => 'CODE_VERSION',
            $code(['v' => 1, 'url' => 'https://r']) => 'CODE_MALFORMED', $code(['v' => 1, 'url' => 'ftp://r', 'code' => 'x']) => 'URL_MALFORMED',
            $code(['v' => 1, 'url' => 'https://u:p@r', 'code' => 'x']) => 'URL_MALFORMED', $code(['v' => 1, 'url' => 'https://r/path', 'code' => 'x']) => 'URL_MALFORMED',
            $code(['v' => 1, 'url' => 'https://r', 'code' => 'x', 'ca' => 'junk']) => 'CA_MALFORMED', $code(['v' => 1, 'url' => 'https://r', 'code' => ['x']]) => 'CODE_MALFORMED',
        ];
        foreach ($bad as $line => $why) {
            Expect::throws(InvalidArgumentException::class, static fn () => ConnectionCode::parse((string)$line), $why);
        }
    },
    'hosts: names, suffixes, addresses, CIDRs of both families' => static function (): void {
        $list = new HostList(['app.local', '*.corp.local', '192.168.0.0/16', '10.1.2.3', 'fd00::/8', '10.128.0.0/9']);
        Expect::same([], $list->faults());
        foreach (['http://app.local/x', 'https://APP.local:8443/', 'http://a.corp.local', 'http://192.168.7.9/e', 'http://10.1.2.3', 'http://[fd12::1]:80/', 'http://10.200.0.1'] as $url) {
            Expect::true($list->matches($url), $url);
        }
        foreach (['http://xapp.local', 'http://corp.local', 'http://192.169.0.1', 'http://10.1.2.4', 'http://[fe80::1]/', 'http://10.127.0.1', 'nonsense', '', 'http://192.168.0.1.evil.com'] as $url) {
            Expect::true(!$list->matches($url), $url);
        }
        Expect::same(['10.0.0.0/33', 'a b', '1.2.3.4/x'], (new HostList(['10.0.0.0/33', 'ok', 'a b', '1.2.3.4/x']))->faults());
    },
    'an item is sent in the very bytes of the stock client, id added' => static function () use ($queryItem): void {
        $item = Item::capture($queryItem);
        Expect::same(1, preg_match('/^[0-9a-f]{32}$/', $item->itemId));
        Expect::same(http_build_query(['QUERY' => [3 => $queryItem + ['relay_item_id' => $item->itemId]]]), $item->body(3));
        Expect::true(preg_match('/[^\x20-\x7e]/', $item->payload) === 0, 'payload is ASCII');
    },
    'a given-auth item keeps its auth out until it is sent' => static function () use ($queryItem): void {
        $item = Item::captureForGivenAuth($queryItem, 'https://portal.local/rest/');
        Expect::true(!str_contains($item->payload, 'application_token'), 'auth is not in the payload');
        parse_str($item->body(0, ['access_token' => 't', 'domain' => 'd']), $sent);
        Expect::same('given', $sent['QUERY'][0]['relay_auth']);
        Expect::same(['access_token' => 't', 'domain' => 'd'], $sent['QUERY'][0]['auth']);
        Expect::same('https://portal.local/rest/', $item->meta['endpoint']);
    },
    'a form body comes apart and back together' => static function () use ($queryItem): void {
        $body = http_build_query(['QUERY' => [$queryItem, $queryItem, ['client_id' => 'x'] + $queryItem], 'client_id' => 'p', 'member_id' => 'm']);
        $form = FormBody::read($body);
        parse_str($body, $expected);
        Expect::same($expected['QUERY'], array_values($form->items()));
        parse_str($form->without(['i0', 'i2']), $rest);
        Expect::same([1 => $expected['QUERY'][1]], $rest['QUERY']);
        Expect::same(['p', 'm'], [$rest['client_id'], $rest['member_id']]);
    },
    'a form body beyond its bounds is left alone' => static function (): void {
        Expect::same(null, FormBody::read(str_repeat('a&', 100001)));
        Expect::same(null, FormBody::read('QUERY' . str_repeat('[a]', 40) . '=1'));
        Expect::same([], FormBody::read('')->items());
    },
    'the pause doubles to its limit' => static function (): void {
        Expect::same([30, 60, 120, 240, 480, 600, 600], array_map(static fn (int $n): int => Backoff::pauseS($n, 30, 600), [1, 2, 3, 4, 5, 6, 500]));
    },
    'an answer tells a refusal from silence' => static function (): void {
        Expect::true((new RelayAnswer(503, ['result' => true]))->succeeded(), 'the status is not what counts');
        Expect::true(!(new RelayAnswer(200, ['error' => 'x', 'result' => true]))->succeeded(), 'error');
        Expect::true(!(new RelayAnswer(503, null))->arrived(), 'silence');
        Expect::same('HTTP 503 without JSON', (new RelayAnswer(503, null))->trouble());
        Expect::same("a b: c", (new RelayAnswer(200, ['error' => "a\nb", 'error_description' => 'c']))->trouble());
    },
    'event names for the transaction capture' => static function (): void {
        foreach (['crm:OnAfterCrmDealAdd', 'main:OnUserAdd', 'crm:\Bitrix\Crm\Deal::onAfterAdd'] as $good) {
            Expect::true(Subscriptions::isEventName($good), $good);
        }
        foreach (['crm', 'crm:', ':x', 'crm:On After', "crm:x'y", 'CRM:x'] as $bad) {
            Expect::true(!Subscriptions::isEventName($bad), $bad);
        }
    },
    'a typed list is split by commas, spaces and lines' => static function (): void {
        Expect::same(['a', 'b', 'c'], Settings::words(" a, b;\nc  a"));
    },
    'node files are whole or not there' => static function (): void {
        $cache = new NodeCache(Temp::folder('node') . '/deep/er');
        Expect::same(null, $cache->read('x'));
        Expect::true($cache->write('x', 'text') && $cache->write('users/1/2', ''), 'written');
        Expect::same('text', $cache->read('x'));
        Expect::true(time() - $cache->markedAt('users/1/2') < 5, 'marked');
        Expect::same(0, $cache->markedAt('users/1/3'));
        $cache->clear();
        Expect::true(!is_dir($cache->path('')), 'cleared');
    },
];
