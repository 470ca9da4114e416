<?php

// Promises: events are stored early, sent later, once, in order, and nobody waits.
// Leans on: a scripted relay and a stub portal on SQLite.
// Must never: look at timing finer than the time-outs.

declare(strict_types=1);


use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;

$pair = static function (string $name): array {
    $relay = (new ScriptedRelay('ev-' . $name))->start();
    $portal = Portal::connected('ev-' . $name, $relay->url());
    $portal->bindEvent('http://127.0.0.1:9/handler');
    return [$relay, $portal];
};
$waiting = static fn (Portal $portal): int => (int)$portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')[0]['C'];
$ids = static fn (ScriptedRelay $relay): array => array_map(
    static fn (array $row): int => (int)$row['item']['query']['QUERY_DATA']['data']['FIELDS']['ID'],
    $relay->received()
);
$open = '\Bitrix\Main\Loader::includeModule("bitrelay.connector"); $wiring = \Bitrelay\Connector\Wiring::instance();';
$forgetBackoff = $open . '$wiring->state()->delete("backoff");';

return [
    'events of a hit reach the relay after it, in one batch, with everything the stock client sends' => static function () use ($pair, $waiting): void {
        [$relay, $portal] = $pair('plain');
        $portal->php(Hits::deals(1, 3));
        Expect::same(0, $waiting($portal));
        Expect::same(1, count($relay->calls('/rest/rest.event.call')));
        $rows = $relay->received();
        Expect::same(3, count($rows));
        $item = $rows[0]['item'];
        Expect::same(['client_id', 'additional', 'auth', 'query', 'relay_item_id'], array_keys($item));
        Expect::same(ScriptedRelay::APP_ID, $item['client_id']);
        Expect::same(['category' => 'default', 'sendAuth' => '1', 'sendRefreshToken' => '0'], $item['additional']);
        Expect::same(['EVENT_SESSION', 'LOCAL_USER', 'application_token', 'domain', 'member_id'], array_keys($item['auth']));
        Expect::same('1', $item['query']['QUERY_DATA']['data']['FIELDS']['ID']);
        Expect::same(md5(ScriptedRelay::PORTAL_ID), $item['auth']['member_id']);
    },
    'the relay down: events stay, and the agent sends them oldest first when it is back' => static function () use ($pair, $waiting, $ids, $forgetBackoff): void {
        [$relay, $portal] = $pair('down');
        $relay->stop();
        $portal->php(Hits::deals(1, 4));
        $portal->php(Hits::deals(5, 4));
        Expect::same(8, $waiting($portal));
        $relay->start();
        $portal->php(Hits::agents(1));
        Expect::same(8, $waiting($portal), 'the pause is kept');
        $portal->php($forgetBackoff . Hits::agents(100));
        Expect::same(0, $waiting($portal));
        Expect::same(range(1, 8), $ids($relay));
    },
    'a hanging relay: the first hit waits for the time-out once, the next ones not at all' => static function () use ($pair, $waiting): string {
        [$relay, $portal] = $pair('hang');
        $portal->option('bitrelay.connector', 'read_timeout', '1');
        $relay->configure(['mode' => 'hang']);
        $times = [];
        for ($hit = 0; $hit < 5; $hit++) {
            // Timed inside the hit, from the first event to the end of the background jobs.
            $portal->php('$GLOBALS["t"] = microtime(true); register_shutdown_function(function () {
                file_put_contents("' . $portal->root . '/took", microtime(true) - $GLOBALS["t"]); });' . Hits::deals($hit, 1));
            $times[] = (float)file_get_contents($portal->root . '/took');
        }
        Expect::true($times[0] >= 1.0 && $times[0] < 1.5, 'first: ' . $times[0]);
        Expect::true(max(array_slice($times, 1)) < 0.2, 'later: ' . max(array_slice($times, 1)));
        Expect::same(5, $waiting($portal));
        Expect::same(1, count($relay->calls('/rest/rest.event.call')));
        return sprintf('%.2f s, then %.3f s at most', $times[0], max(array_slice($times, 1)));
    },
    'the pause grows with each failure and ends with the first success' => static function () use ($pair, $open): void {
        [$relay, $portal] = $pair('pause');
        $relay->configure(['mode' => '503']);
        $pauses = [];
        for ($i = 0; $i < 3; $i++) {
            $portal->php(Hits::deals($i, 1));
            $status = $portal->php($open . '
                $status = $wiring->backoff()->status();
                $wiring->state()->writeArray("backoff", ["until" => 0] + $wiring->state()->readArray("backoff"), time());
                return $status;');
            $pauses[] = $status['until'] - time();
        }
        foreach ([30, 60, 120] as $i => $expected) {
            Expect::true(abs($pauses[$i] - $expected) <= 2, 'pause ' . $i . ': ' . $pauses[$i]);
        }
        Expect::same('HTTP 503 without JSON', $status['trouble']);
        $relay->configure(['mode' => 'ok']);
        $portal->php(Hits::deals(9, 1));
        Expect::same(0, $portal->php($open . 'return $wiring->backoff()->status()["failures"];'));
        Expect::same(4, count($relay->received()));
    },
    'events of background jobs come through the provider, the second net' => static function () use ($pair, $ids): void {
        [$relay, $portal] = $pair('second');
        $portal->php('\Bitrix\Main\Application::getInstance()->addBackgroundJob(function () { ' . Hits::deals(1, 1) . ' });' . Hits::deals(2, 1));
        $seen = $ids($relay);
        sort($seen);
        Expect::same([1, 2], $seen);
    },
    'an event after the epilog had emptied the queue is not forgotten' => static function () use ($pair, $ids): void {
        [$relay, $portal] = $pair('later');
        // The last job of the hit runs when the stock sender's own job is over and has found nothing.
        $portal->php(Hits::deals(1, 1) . '\Bitrix\Main\Application::getInstance()->addBackgroundJob(function () { ' . Hits::deals(2, 1) . ' }, [], 1);');
        Expect::same([1, 2], $ids($relay));
    },
    'an exit or an uncaught exception does not lose what was fired before it' => static function () use ($pair, $waiting): void {
        [$relay, $portal] = $pair('exit');
        $relay->stop();
        foreach (['exit(0);', 'throw new \RuntimeException("page broke");'] as $i => $end) {
            [, $process] = $portal->start(Hits::deals(1, 2) . $end);
            stream_get_contents($process[1]);
            proc_close($process[0]);
            Expect::same(2 * $i + 2, $waiting($portal), $end);
        }
    },
    'sent twice, stored once: the answer was lost and the batch goes out again' => static function () use ($pair, $waiting, $open, $ids): void {
        [$relay, $portal] = $pair('twice');
        $relay->stop();
        $portal->php(Hits::deals(1, 3));
        $rows = $portal->sql('SELECT ITEM_ID, CREATED_AT, META, PAYLOAD FROM b_bitrelay_outbox ORDER BY ID');
        $relay->start();
        $run = $open . '$wiring->state()->delete("backoff"); return $wiring->courier()->run(5);';
        Expect::same(3, $portal->php($run));
        foreach ($rows as $row) { // as if PHP had been killed between the relay's answer and the delete
            $portal->sql("INSERT INTO b_bitrelay_outbox (ITEM_ID, CREATED_AT, PAYLOAD) VALUES ('{$row['ITEM_ID']}', 1, '{$row['PAYLOAD']}')");
        }
        Expect::same(3, $portal->php($run));
        Expect::same([1, 2, 3], $ids($relay));
        Expect::same(0, $waiting($portal));
    },
    'two couriers at once: one carries, the other goes home' => static function () use ($pair, $open, $ids): void {
        [$relay, $portal] = $pair('couriers');
        $relay->stop();
        for ($i = 0; $i < 5; $i++) {
            $portal->php(Hits::deals($i * 100, 100));
        }
        $relay->start();
        $portal->php($open . '$wiring->state()->delete("backoff");');
        $hits = [];
        for ($i = 0; $i < 4; $i++) {
            $hits[] = $portal->start($open . 'return $wiring->courier()->run(10);');
        }
        foreach ($hits as [, $process]) {
            stream_get_contents($process[1]);
            proc_close($process[0]);
        }
        Expect::same(range(0, 499), $ids($relay));
        Expect::same(500, array_sum(array_column($relay->calls('/rest/rest.event.call'), 'items')), 'sent just once');
    },
    'an event the relay refuses is held, shown and out of the way; it can be tried again or dropped' => static function () use ($pair, $ids, $open, $waiting): void {
        [$relay, $portal] = $pair('poison');
        $relay->stop();
        $portal->php(Hits::deals(1, 5) . '(new \Bitrix\Main\Event("crm", "OnAfterCrmDealAdd", [["FIELDS" => ["ID" => 6], "TITLE" => "poison"]]))->send();' . Hits::deals(7, 5));
        $relay->start();
        $portal->php($open . '$wiring->state()->delete("backoff");' . Hits::agents(100));
        Expect::same([1, 2, 3, 4, 5, 7, 8, 9, 10, 11], $ids($relay));
        $depth = $portal->php($open . 'return $wiring->outbox()->depth();');
        Expect::same([0, 1, 'invalid_request: poison'], [$depth['waiting'], $depth['held'], $depth['held_error']]);
        Expect::contains('refused 1 events', json_encode($portal->sql('SELECT * FROM b_admin_notify')));
        $portal->php($open . '$wiring->outbox()->releaseHeld();' . Hits::agents(200));
        Expect::same(1, $portal->php($open . 'return $wiring->outbox()->depth()["held"];'), 'refused again');
        $portal->php($open . '$wiring->outbox()->dropHeld();' . Hits::agents(300));
        Expect::same(0, $waiting($portal));
        Expect::same([], $portal->sql('SELECT * FROM b_admin_notify'), 'the notice went with it');
    },
    'a relay that refuses the portal, or everything, holds nothing for good' => static function () use ($pair, $open): void {
        [$relay, $portal] = $pair('refuses');
        foreach (['invalid_client', 'verification_needed', 'internal_error', 'ERROR_METHOD_NOT_FOUND'] as $error) {
            $relay->configure(['refuse' => $error]);
            $portal->php($open . '$wiring->state()->delete("backoff");' . Hits::deals(1, 10));
            Expect::same(0, $portal->php($open . 'return $wiring->outbox()->depth()["held"];'), $error);
        }
        $relay->configure(['refuse' => 'invalid_request']);
        $portal->php($open . '$wiring->state()->delete("backoff");' . Hits::agents(100));
        $depth = $portal->php($open . 'return $wiring->outbox()->depth();');
        Expect::same([35, 5], [$depth['waiting'], $depth['held']], 'five in a row are not the items\' fault');
    },
    'senders that go around the provider (REST SMS) are stored, and see a failed request' => static function () use ($pair, $waiting): void {
        [$relay, $portal] = $pair('sms');
        $relay->stop();
        $sms = '$item = \Bitrix\Rest\Sqs::queryItem("' . ScriptedRelay::APP_ID . '", "http://127.0.0.1:9/sms", ["type" => "SMS", "message_body" => "Привет + мир", "properties" => array_fill(0, 1500, "x")], ["LOCAL_USER" => 1]);
            return \Bitrix\Rest\OAuthService::getEngine()->getClient()->sendEvent([$item]);';
        Expect::same(null, $portal->php($sms) ?: null);
        Expect::same(1, $waiting($portal));
        $relay->start();
        Expect::same(null, $portal->php(str_replace('"SMS"', '"with the relay up"', $sms)) ?: null);
        $portal->php('\Bitrix\Main\Loader::includeModule("bitrelay.connector"); \Bitrelay\Connector\Wiring::instance()->state()->delete("backoff");' . Hits::agents(100));
        $data = $relay->received()[0]['item']['query']['QUERY_DATA'];
        Expect::same(['Привет + мир', 1500], [$data['message_body'], count($data['properties'])]);
        Expect::same(2, count($relay->received()), 'once each, not once more by the sender itself');
        Expect::true(!isset($relay->received()[0]['item']['client_secret']), 'the credentials are not part of the item');
    },
    'at the bound new events go the stock way; the notice comes long before' => static function () use ($pair, $waiting, $open): void {
        [$relay, $portal] = $pair('bound');
        $relay->stop();
        $portal->option('bitrelay.connector', 'outbox_limit', '1000');
        for ($i = 0; $i < 3; $i++) {
            $portal->php(Hits::deals($i * 100, 100));
        }
        $portal->php(Hits::agents(1));
        Expect::contains('300 of at most 1000 events', $portal->sql('SELECT * FROM b_admin_notify')[0]['MESSAGE']);
        for ($i = 3; $i < 11; $i++) {
            $portal->php($open . '$wiring->state()->delete("outbox_depth");' . Hits::deals($i * 100, 100));
        }
        Expect::same(1000, $waiting($portal));
        $relay->start();
        $portal->php(Hits::deals(5000, 1));
        Expect::same('5000', $relay->received()[0]['item']['query']['QUERY_DATA']['data']['FIELDS']['ID'], 'sent directly');
        Expect::same(1000, $waiting($portal));
    },
    'the outbox switched off, or its table gone: the stock code sends as ever' => static function () use ($pair, $ids): void {
        [$relay, $portal] = $pair('off');
        $portal->option('bitrelay.connector', 'outbox', 'N');
        $portal->php(Hits::deals(1, 1));
        $portal->option('bitrelay.connector', 'outbox', 'Y');
        $portal->sql('DROP TABLE b_bitrelay_outbox');
        $portal->php(Hits::deals(2, 1));
        Expect::same([1, 2], $ids($relay));
    },
    'the stock usage statistics are flushed though the stock sender finds nothing' => static function () use ($pair): void {
        [$relay, $portal] = $pair('usage');
        $seen = $portal->php(Hits::deals(1, 1, '\Bitrelay\Connector\EventHandlers::onAfterEpilog(); return \Bitrix\Rest\UsageStatTable::$finalized;'));
        Expect::same(1, $seen);
    },
    'not connected, the module takes nothing and asks for nothing' => static function () use ($pair, $waiting): void {
        [$relay, $portal] = $pair('idle');
        $portal->option('bitrelay.connector', 'mode', 'off');
        $portal->php(Hits::deals(1, 1) . Hits::agents(1));
        Expect::same([1, 0], [count($relay->received()), $waiting($portal)], 'the stock code sent it');
        Expect::true(!isset($relay->received()[0]['item']['relay_item_id']), 'without the module');
        Expect::same(0, count($relay->calls('/rest/relay.bundle')));
    },
];
