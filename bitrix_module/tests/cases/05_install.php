<?php

// Promises: install, uninstall, install again: options, handlers, agents and tables as documented at each step.
// Leans on: a stub portal per test.
// Must never: look at anything but the portal's own tables.

declare(strict_types=1);


use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;

$handlers = [
    'main:OnAfterEpilog:onAfterEpilog:10000:1',
    'main:OnHttpClientBuildRequest:onHttpClientBuildRequest:100:2',
    'main:OnPageStart:onPageStart:100:1',
    'rest:OnRestCheckAuth:onRestCheckAuth:90:1',
    'rest:onApplicationManagerInitialize:onApplicationManagerInitialize:100:2',
    'rest:onEventManagerInitialize:onEventManagerInitialize:100:2',
];
$agents = ['\Bitrelay\Connector\Agent::deliver();', '\Bitrelay\Connector\Agent::tend();'];
$snapshot = static function (Portal $portal): array {
    $handlers = array_map(
        static fn (array $r): string => implode(':', [$r['FROM_MODULE_ID'], $r['MESSAGE_ID'], $r['TO_METHOD'], $r['SORT'], $r['VERSION']]),
        $portal->sql("SELECT * FROM b_module_to_module WHERE TO_MODULE_ID = 'bitrelay.connector'")
    );
    sort($handlers);
    return [
        'handlers' => $handlers,
        'agents' => array_column($portal->sql("SELECT NAME FROM b_agent WHERE MODULE_ID = 'bitrelay.connector' ORDER BY NAME"), 'NAME'),
        'options' => $portal->sql("SELECT NAME, VALUE FROM b_option WHERE MODULE_ID = 'bitrelay.connector'"),
        'rest' => array_column($portal->sql("SELECT NAME, VALUE FROM b_option WHERE MODULE_ID = 'rest' ORDER BY NAME"), 'VALUE', 'NAME'),
        'tables' => $portal->php('return array_map(\Bitrix\Main\Application::getConnection()->isTableExists(...), ["b_bitrelay_outbox", "b_bitrelay_state"]);'),
        'module' => $portal->php('return \Bitrix\Main\ModuleManager::isModuleInstalled("bitrelay.connector");'),
        'cache' => is_dir($portal->root . '/bitrix/cache/bitrelay.connector'),
        'notices' => count($portal->sql("SELECT * FROM b_admin_notify WHERE MODULE_ID = 'bitrelay.connector'")),
    ];
};
$nothing = ['handlers' => [], 'agents' => [], 'options' => [], 'tables' => [false, false], 'module' => false, 'cache' => false, 'notices' => 0];
$uninstall = 'return CModule::CreateModuleObject("bitrelay.connector")->DoUninstall();';
$event = 'INSERT INTO b_bitrelay_outbox (ITEM_ID, CREATED_AT, PAYLOAD) VALUES (\'%s\', 1, \'x\')';

return [
    'install, uninstall, install again leaves exactly what is documented' => static function () use ($snapshot, $nothing, $handlers, $agents, $uninstall): void {
        $portal = new Portal('install');
        $portal->option('rest', 'oauth_server', 'https://oauth.before.local');
        $rest = ['oauth_server' => 'https://oauth.before.local'];
        $installed = ['handlers' => $handlers, 'agents' => $agents, 'options' => [], 'rest' => $rest, 'tables' => [true, true], 'module' => true, 'cache' => false, 'notices' => 0];
        Expect::same($nothing + ['rest' => $rest], array_replace($nothing + ['rest' => []], $snapshot($portal)), 'before');
        foreach (['first', 'second'] as $time) {
            $portal->install();
            Expect::same($installed, $snapshot($portal), $time . ' install');
            Expect::same(true, $portal->php($uninstall));
            Expect::same(array_replace($installed, $nothing), $snapshot($portal), $time . ' uninstall');
        }
    },
    'connect changes one option of rest, and uninstall puts the former value back' => static function () use ($snapshot, $uninstall): void {
        $relay = new ScriptedRelay('install');
        $portal = Portal::connected('connect', $relay->url());
        $now = $snapshot($portal);
        Expect::same($relay->url(), $now['rest']['oauth_server']);
        Expect::same(ScriptedRelay::PORTAL_ID, $now['rest']['service_client_id']);
        foreach ($now['options'] as $option) {
            Expect::true(!str_contains($option['VALUE'], ScriptedRelay::PORTAL_SECRET) && !str_contains($option['VALUE'], 'once'), $option['NAME'] . ' is in the clear');
        }
        $portal->php($uninstall);
        // There was no such option before: it must be gone, not empty.
        Expect::same(['service_client_id' => ScriptedRelay::PORTAL_ID, 'service_client_secret' => ScriptedRelay::PORTAL_SECRET], $snapshot($portal)['rest']);
    },
    'switch back to the cloud restores, keeps what waits, and a second switch remembers the first state' => static function () use ($snapshot, $event): void {
        $portal = new Portal('back');
        $portal->option('rest', 'oauth_server', 'https://oauth.before.local');
        $portal->install();
        $follow = static fn (string $mode): string => '\Bitrix\Main\Loader::includeModule("bitrelay.connector");
            \Bitrix\Main\Config\Option::set("bitrelay.connector", "relay_url", "http://127.0.0.1:9");
            \Bitrelay\Connector\Portal\Connecting::follow(\Bitrelay\Connector\Mode::of("' . $mode . '"));';
        $server = static fn (): ?string => $snapshot($portal)['rest']['oauth_server'] ?? null;
        foreach (['all' => 'http://127.0.0.1:9', 'apps' => 'https://oauth.before.local', 'handlers' => 'https://oauth.before.local'] as $mode => $expected) {
            $portal->php($follow($mode));
            Expect::same($expected, $server(), $mode);
        }
        $portal->php($follow('all'));
        $portal->sql(sprintf($event, str_repeat('a', 32)));
        $portal->php($follow('off'));
        Expect::same('https://oauth.before.local', $server());
        Expect::same('1', (string)$portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')[0]['C']);
    },
    'credentials that the relay gave go with it; the former ones come back' => static function () use ($snapshot, $uninstall): void {
        $relay = (new ScriptedRelay('register'))->start();
        $portal = new Portal('register');
        $portal->install();
        $done = $portal->php('
            \Bitrix\Main\Loader::includeModule("bitrelay.connector");
            \Bitrelay\Connector\Portal\Connecting::connect(new \Bitrelay\Connector\Relay\ConnectionCode("' . $relay->url() . '", "once", ""), \Bitrelay\Connector\Mode::All);
            \Bitrelay\Connector\Portal\Connecting::register(\Bitrelay\Connector\Wiring::instance()->relay());
            return \Bitrelay\Connector\Portal\Connecting::isRegistered();');
        Expect::same(true, $done);
        Expect::same(ScriptedRelay::PORTAL_ID, $snapshot($portal)['rest']['service_client_id']);
        $sent = $relay->calls('/oauth/register')[0]['fields'];
        Expect::same(['B', 'CP'], [$sent['type'], $sent['BX_TYPE']]);
        Expect::same(md5('BITRIXstub-licence-keyLICENCE'), $sent['BX_LICENCE']);
        $portal->php($uninstall);
        Expect::same([], $snapshot($portal)['rest'], 'the portal was unregistered before');
    },
    'uninstall asks before it drops unsent events' => static function () use ($event, $uninstall): void {
        $portal = new Portal('ask');
        $portal->install();
        $portal->sql(sprintf($event, str_repeat('a', 32)));
        $asked = $portal->php('$done = CModule::CreateModuleObject("bitrelay.connector")->DoUninstall(); return [$done, $GLOBALS["APPLICATION"]->includedPage];');
        Expect::same(false, $asked[0]);
        Expect::contains('1 events have not reached the relay', $asked[1]);
        Expect::contains('name="keep_events" value="Y" checked', $asked[1]);
        Expect::same(true, $portal->php('return \Bitrix\Main\ModuleManager::isModuleInstalled("bitrelay.connector");'));

        $answer = static fn (string $keep): string => '$_POST = ["step" => "2", "keep_events" => "' . $keep . '", "sessid" => bitrix_sessid()];' . $uninstall;
        Expect::same(true, $portal->php($answer('Y')));
        Expect::same([['C' => 1]], array_map(static fn (array $r): array => ['C' => (int)$r['C']], $portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')));
        $portal->install();
        Expect::same(1, (int)$portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')[0]['C'], 'kept over a new install');
        Expect::same(true, $portal->php($answer('N')));
        Expect::same(false, $portal->php('return \Bitrix\Main\Application::getConnection()->isTableExists("b_bitrelay_outbox");'));
    },
    'an answer without a session drops nothing' => static function () use ($event, $uninstall): void {
        $portal = new Portal('sessid');
        $portal->install();
        $portal->sql(sprintf($event, str_repeat('a', 32)));
        Expect::same(false, $portal->php('$_POST = ["step" => "2", "keep_events" => "N", "sessid" => "forged"];' . $uninstall));
        Expect::same(1, (int)$portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')[0]['C']);
    },
    'without the rest module the installer says so and leaves nothing' => static function () use ($snapshot): void {
        $portal = new Portal('norest');
        $portal->sql("DELETE FROM b_module");
        $done = $portal->php('$module = CModule::CreateModuleObject("bitrelay.connector"); return [$module->DoInstall(), $GLOBALS["APPLICATION"]->exception];');
        Expect::same(false, $done[0]);
        Expect::contains('REST API', $done[1]);
        Expect::same([false, false], $snapshot($portal)['tables']);
    },
    'captured business events are registered, replaced and taken away' => static function () use ($snapshot, $uninstall): void {
        $portal = new Portal('captured');
        $portal->install();
        $save = static fn (string $events): string => '
            \Bitrix\Main\Loader::includeModule("bitrelay.connector");
            \Bitrelay\Connector\Subscriptions::replaceCaptured(\Bitrelay\Connector\Settings::load()->captureEvents, \Bitrelay\Connector\Settings::words("' . $events . '"));
            \Bitrix\Main\Config\Option::set("bitrelay.connector", "capture_events", "' . $events . '");';
        $business = static fn (): array => array_values(array_filter($snapshot($portal)['handlers'], static fn (string $h): bool => str_contains($h, 'onBusinessEvent')));
        $portal->php($save('crm:OnAfterCrmDealAdd,crm:OnAfterCrmLeadAdd'));
        Expect::same(['crm:OnAfterCrmDealAdd:onBusinessEvent:10000:2', 'crm:OnAfterCrmLeadAdd:onBusinessEvent:10000:2'], $business());
        $portal->php($save('crm:OnAfterCrmLeadAdd'));
        Expect::same(['crm:OnAfterCrmLeadAdd:onBusinessEvent:10000:2'], $business());
        $portal->php($uninstall);
        Expect::same([], $snapshot($portal)['handlers']);
    },
    'agents return their own literal and survive a broken database' => static function (): void {
        $portal = new Portal('agents');
        $portal->install();
        $names = static fn (): array => $portal->sql('SELECT NAME, NEXT_EXEC FROM b_agent ORDER BY NAME');
        $portal->php('CAgent::run(time() + 1);');
        Expect::same(['\Bitrelay\Connector\Agent::deliver();', '\Bitrelay\Connector\Agent::tend();'], array_column($names(), 'NAME'));
        $portal->sql('DROP TABLE b_bitrelay_state');
        $portal->sql('DROP TABLE b_bitrelay_outbox');
        $at = time() + 1000;
        $portal->php('CAgent::run(' . $at . ');');
        foreach ($names() as $row) {
            Expect::same($at + 60, (int)$row['NEXT_EXEC'], 'parked: ' . $row['NAME']);
        }
    },
];
