<?php

// Promises: the module's SQL, locks and transactions hold on real MariaDB and PostgreSQL.
// Leans on: Debian's servers, started here on a socket.
// Must never: use the network.

declare(strict_types=1);


use Bitrelay\Tests\Database;
use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;

$open = '\Bitrix\Main\Loader::includeModule("bitrelay.connector"); $wiring = \Bitrelay\Connector\Wiring::instance();';
$capture = '\Bitrix\Main\Loader::includeModule("bitrelay.connector");
    \Bitrelay\Connector\Subscriptions::replaceCaptured([], ["crm:OnAfterCrmDealAdd"]);
    \Bitrix\Main\Config\Option::set("bitrelay.connector", "capture_events", "crm:OnAfterCrmDealAdd");';
$waiting = static fn (Portal $portal): int => (int)$portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')[0]['C'];
$cases = [
    'install, uninstall, install again on its own tables' => static function (array $db): void {
        $portal = new Portal('db-install', $db);
        $tables = static fn (): array => $portal->php('return array_map(\Bitrix\Main\Application::getConnection()->isTableExists(...), ["b_bitrelay_outbox", "b_bitrelay_state"]);');
        foreach ([1, 2] as $time) {
            $portal->install();
            Expect::same([true, true], $tables());
            Expect::same([], $portal->php('return \Bitrix\Main\Application::getConnection()->executeSqlBatch(file_get_contents("' . $portal->root . '/local/modules/bitrelay.connector/install/db/" . \Bitrix\Main\Application::getConnection()->getType() . "/install.sql"));'), 'the batch may be run again');
            $portal->php('return CModule::CreateModuleObject("bitrelay.connector")->DoUninstall();');
            Expect::same([false, false], $tables());
        }
    },
    'the module\'s connection is apart from the portal\'s' => static function (array $db) use ($open): void {
        $portal = new Portal('db-apart', $db);
        $portal->install();
        $id = str_contains($db['className'], 'Pgsql') ? 'pg_backend_pid()' : 'CONNECTION_ID()';
        [$own, $portals] = $portal->php($open . 'return [\Bitrelay\Connector\Portal\OwnConnection::get()->queryScalar("SELECT ' . $id . '"), \Bitrix\Main\Application::getConnection()->queryScalar("SELECT ' . $id . '")];');
        Expect::true($own !== $portals, 'one connection for both');
    },
    'by default an event outlives the rollback of what the page had open' => static function (array $db) use ($waiting): void {
        $portal = Portal::connected('db-rollback', 'http://127.0.0.1:9', $db);
        $portal->bindEvent('http://127.0.0.1:9/handler');
        $portal->php('$c = \Bitrix\Main\Application::getConnection(); $c->startTransaction(); $c->queryExecute("INSERT INTO b_deal (TITLE) VALUES (\'x\')");'
            . Hits::deals(1, 2) . '\Bitrelay\Connector\EventHandlers::onAfterEpilog(); $c->rollbackTransaction();');
        Expect::same([0, 2], [(int)$portal->sql('SELECT COUNT(*) AS C FROM b_deal')[0]['C'], $waiting($portal)]);
    },
    'captured inside the transaction, the event follows the business row' => static function (array $db) use ($waiting, $capture): void {
        $portal = Portal::connected('db-inside', 'http://127.0.0.1:9', $db);
        $portal->bindEvent('http://127.0.0.1:9/handler');
        $portal->php($capture);
        foreach (['rollback' => 0, 'commit' => 1] as $end => $rows) {
            $portal->php('$c = \Bitrix\Main\Application::getConnection(); $c->startTransaction(); $c->queryExecute("INSERT INTO b_deal (TITLE) VALUES (\'x\')");'
                . Hits::deals(1, 1) . '$c->' . $end . 'Transaction();');
            Expect::same([$rows, $rows], [(int)$portal->sql('SELECT COUNT(*) AS C FROM b_deal')[0]['C'], $waiting($portal)], $end);
        }
    },
    'whatever an event holds comes through: quotes, backslashes, four-byte letters, broken UTF-8, much of it' => static function (array $db) use ($open): void {
        $relay = (new ScriptedRelay('db-odd'))->start();
        $portal = Portal::connected('db-odd', $relay->url(), $db);
        $portal->php('
            $odd = ["q" => "it\'s \"quoted\" \\\\ back", "u" => "\u{1F600} Привет", "b" => "a\xFFb\x00c", "n" => null, "long" => str_repeat("Ж", 300000), "sql" => "%_; DROP TABLE b_user; --"];
            \Bitrix\Rest\Event\Sender::getProvider()->send([["client_id" => "x", "additional" => [], "auth" => [], "query" => ["DOMAIN" => "", "QUERY_URL" => "http://h/", "QUERY_DATA" => $odd]],
                ["client_id" => "y", "additional" => [], "auth" => [], "query" => ["DOMAIN" => "", "QUERY_URL" => "http://h/", "QUERY_DATA" => ["event" => "E"]]]]);');
        $got = $relay->received();
        Expect::same(2, count($got));
        $data = $got[0]['item']['query']['QUERY_DATA'];
        Expect::same(["it's \"quoted\" \\ back", "\u{1F600} Привет", 600000, '%_; DROP TABLE b_user; --'], [$data['q'], $data['u'], strlen($data['long']), $data['sql']]);
        Expect::same(0, $portal->php($open . 'return $wiring->outbox()->depth()["waiting"];'));
    },
    'one courier at a time in the whole portal, and the lock dies with its process' => static function (array $db) use ($open): void {
        $portal = Portal::connected('db-lock', 'http://127.0.0.1:9', $db);
        $flag = $portal->root . '/locked';
        [, $process] = $portal->start($open . '\Bitrelay\Connector\Portal\OwnConnection::get()->lock("bitrelay_courier"); touch("' . $flag . '"); sleep(60);');
        Bitrelay\Tests\Wait::until(static fn (): bool => is_file($flag), 'the lock is held');
        $lock = $open . 'return \Bitrelay\Connector\Portal\OwnConnection::get()->lock("bitrelay_courier", 0);';
        Expect::same(false, $portal->php($lock));
        proc_terminate($process[0], SIGKILL);
        proc_close($process[0]);
        Bitrelay\Tests\Wait::until(static fn (): bool => $portal->php($lock), 'the lock is free again');
    },
    'shared values: written, overwritten with the same, read, deleted' => static function (array $db) use ($open): void {
        $portal = new Portal('db-state', $db);
        $portal->install();
        Expect::same([['value' => 'a\\\'b', 'updated_at' => 5], ['value' => 'a\\\'b', 'updated_at' => 5], null, ['k' => [1, 'Ы']]], $portal->php($open . '
            $s = $wiring->state();
            $s->write("x", "a\\\\\'b", 5); $first = $s->read("x");
            $s->write("x", "a\\\\\'b", 5); $second = $s->read("x");
            $s->delete("x"); $s->writeArray("y", ["k" => [1, "Ы"]], 6);
            return [$first, $second, $s->read("x"), $s->readArray("y")];'));
    },
    'tokens are checked with the bundle in this database' => static function (array $db): void {
        $relay = (new ScriptedRelay('db-token'))->start();
        $portal = Portal::connected('db-token', $relay->url(), $db);
        $token = $relay->token();
        Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
        $relay->stop();
        exec('rm -rf ' . escapeshellarg($portal->root . '/bitrix/cache'));
        Expect::same(true, $portal->php(Hits::rest($token))['accepted']);
    },
    'a refused event is held and released' => static function (array $db) use ($open): void {
        $relay = (new ScriptedRelay('db-held'))->start();
        $portal = Portal::connected('db-held', $relay->url(), $db);
        $portal->bindEvent('http://127.0.0.1:9/handler');
        $portal->php('(new \Bitrix\Main\Event("crm", "OnAfterCrmDealAdd", [["TITLE" => "poison"]]))->send();' . Hits::deals(1, 3));
        $depth = $portal->php($open . 'return $wiring->outbox()->depth();');
        Expect::same([0, 1, 3], [$depth['waiting'], $depth['held'], count($relay->received())]);
        Expect::same([1, 0], $portal->php($open . '$wiring->outbox()->releaseHeld(); $d = $wiring->outbox()->depth(); return [$d["waiting"], $d["held"]];'));
    },
];
$tests = [];
foreach (['MariaDB' => Database::mariadb(...), 'PostgreSQL' => Database::postgres(...)] as $name => $database) {
    foreach ($cases as $promise => $case) {
        $tests[$name . ': ' . $promise] = static fn (): mixed => $case($database());
    }
}
return $tests;
