<?php

// Promises: the relay away and PHP killed at random: nothing lost, nothing doubled, order per entity kept.
// Leans on: real databases, SIGKILL, and a relay whose address comes from outside.
// Must never: count an event that the database never committed.

declare(strict_types=1);


use Bitrelay\Tests\Database;
use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\RelayUnderTest;
use Bitrelay\Tests\Sink;
use Bitrelay\Tests\Wait;

const EVENTS = 1000;
const ENTITIES = 25;

$open = '\Bitrix\Main\Loader::includeModule("bitrelay.connector"); $wiring = \Bitrelay\Connector\Wiring::instance();';
/** Some business changes, each with its event in one transaction; stops at EVENTS. */
$change = '
    $c = \Bitrix\Main\Application::getConnection();
    for ($i = 0; $i < 25; $i++) {
        $entity = random_int(1, ' . ENTITIES . ');
        $c->startTransaction();
        $total = (int)$c->queryScalar("SELECT N FROM b_counter WHERE ID = 0 FOR UPDATE");
        if ($total >= ' . EVENTS . ') {
            $c->rollbackTransaction();
            break;
        }
        $n = 1 + (int)$c->queryScalar("SELECT N FROM b_counter WHERE ID = $entity FOR UPDATE");
        $c->queryExecute("UPDATE b_counter SET N = $n WHERE ID = $entity");
        $c->queryExecute("UPDATE b_counter SET N = N + 1 WHERE ID = 0");
        $c->queryExecute("INSERT INTO b_deal (TITLE) VALUES (\'$entity:$n\')");
        (new \Bitrix\Main\Event("crm", "OnAfterCrmDealAdd", [["FIELDS" => ["ID" => $entity], "SEQ" => $n]]))->send();
        $c->commitTransaction();
    }';
$prepare = static function (string $name, array $db, RelayUnderTest $relay, Sink $sink): Portal {
    $portal = Portal::connected($name, $relay->url(), $db);
    $relay->introduce($portal);
    $portal->bindEvent($sink->url());
    $portal->option('bitrelay.connector', 'backoff_min', '5');
    return $portal;
};
$kill = static function (array $hit, int $mostMs): bool {
    [, $process] = $hit;
    $deadline = microtime(true) + random_int(0, $mostMs) / 1000;
    while (microtime(true) < $deadline && proc_get_status($process[0])['running']) {
        usleep(1000);
    }
    $killed = proc_get_status($process[0])['running'];
    proc_terminate($process[0], SIGKILL);
    proc_close($process[0]);
    return $killed;
};
$finish = static function (array $hit): bool {
    [$file, $process] = $hit;
    stream_get_contents($process[1]);
    proc_close($process[0]);
    return is_file($file);
};
$waiting = static fn (Portal $portal): int => (int)$portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')[0]['C'];

$outage = static function (array $db, string $name, bool $real = false) use ($open, $change, $prepare, $kill, $finish, $waiting): string {
    $relay = new RelayUnderTest($name, $real);
    $relay->start();
    $sink = new Sink($name);
    $portal = $prepare($name, $db, $relay, $sink);
    $relay->stop();
    $portal->php('\Bitrix\Main\Loader::includeModule("bitrelay.connector");
        \Bitrelay\Connector\Subscriptions::replaceCaptured([], ["crm:OnAfterCrmDealAdd"]);
        \Bitrix\Main\Config\Option::set("bitrelay.connector", "capture_events", "crm:OnAfterCrmDealAdd");
        $c = \Bitrix\Main\Application::getConnection();
        $c->queryExecute("DROP TABLE IF EXISTS b_counter");
        $c->queryExecute("CREATE TABLE b_counter (ID INT NOT NULL PRIMARY KEY, N INT NOT NULL)");
        for ($i = 0; $i <= ' . ENTITIES . '; $i++) { $c->queryExecute("INSERT INTO b_counter (ID, N) VALUES ($i, 0)"); }');
    // A hit takes as long as the machine is quick: the kills fall within the time that the last one took.
    $killed = 0;
    $tookMs = 100;
    while ((int)$portal->sql('SELECT N FROM b_counter WHERE ID = 0')[0]['N'] < EVENTS) {
        $began = microtime(true);
        $hits = [$portal->start($change), $portal->start($change), $portal->start($change)];
        $killed += (int)$kill($hits[0], $tookMs) + (int)$kill($hits[1], intdiv($tookMs, 2));
        $finish($hits[2]);
        $tookMs = (int)ceil((microtime(true) - $began) * 1000);
    }
    Expect::same(EVENTS, $waiting($portal), 'one row for each committed change');

    $relay->start();
    $couriers = 0;
    $portal->php($open . '$wiring->state()->delete("backoff");');
    Wait::until(static function () use ($portal, $kill, $finish, $waiting, &$couriers): bool {
        $hit = $portal->start(Hits::agents(100000 * ++$couriers));
        $couriers % 6 === 0 ? $finish($hit) : $kill($hit, 100);
        return $waiting($portal) === 0;
    }, 'the outbox is empty', 240);
    Wait::until(static fn (): bool => count($sink->deliveries()) >= EVENTS, 'all delivered', 120);

    $seen = $ids = [];
    foreach ($sink->deliveries() as $delivery) {
        $entity = (int)$delivery['body']['data']['FIELDS']['ID'];
        $seen[$entity][] = (int)$delivery['body']['data']['SEQ'];
        $ids[] = $delivery['event_id'];
    }
    Expect::same(EVENTS, count($ids), 'deliveries');
    Expect::same(EVENTS, count(array_unique($ids)), 'an event came twice');
    foreach ($seen as $entity => $order) {
        Expect::same(range(1, count($order)), $order, 'order of entity ' . $entity);
    }
    Expect::same(EVENTS, (int)$portal->sql('SELECT COUNT(*) AS C FROM b_deal')[0]['C']);
    Expect::true($killed > 5, 'too few hits were killed for this to mean anything: ' . $killed);
    return $relay->name() . ', ' . $killed . ' hits and ' . ($couriers - intdiv($couriers, 6)) . ' couriers killed';
};

return [
    'MariaDB: 1,000 events, relay stopped, PHP killed at random, relay started' => static fn (): string => $outage(Database::mariadb(), 'outage-my'),
    'PostgreSQL: 1,000 events, relay stopped, PHP killed at random, relay started' => static fn (): string => $outage(Database::postgres(), 'outage-pg'),
    'MariaDB and a real relay: 1,000 events, relay stopped, PHP killed at random, relay started' => static fn (): string => $outage(Database::mariadb(), 'outage-real', true),
    'captured at the epilog: every hit that ended is delivered whole, and nothing twice' => static function () use ($prepare, $kill, $finish, $waiting, $open): string {
        $relay = new RelayUnderTest('epilog');
        $relay->start();
        $sink = new Sink('epilog');
        $portal = $prepare('epilog', Database::mariadb(), $relay, $sink);
        $relay->stop();
        $ended = [];
        $killed = 0;
        for ($hit = 0; $hit < 60; $hit++) {
            $process = $portal->start(Hits::deals($hit * 10, 5) . 'return true;');
            if ($hit % 2 === 0) {
                $killed += (int)$kill($process, 120);
            } elseif ($finish($process)) {
                $ended[] = $hit;
            }
        }
        $relay->start();
        $portal->php($open . '$wiring->state()->delete("backoff");' . Hits::agents(1000));
        Expect::same(0, $waiting($portal));
        Wait::until(static fn (): bool => count($sink->deliveries()) >= count($ended) * 5, 'delivered');
        $ids = array_map(static fn (array $d): int => (int)$d['body']['data']['FIELDS']['ID'], $sink->deliveries());
        Expect::same(count($ids), count(array_unique($ids)), 'twice');
        foreach ($ended as $hit) {
            Expect::same([], array_diff(range($hit * 10, $hit * 10 + 4), $ids), 'hit ' . $hit);
        }
        return count($ended) . ' hits ended, ' . $killed . ' killed';
    },
];
