<?php

// Promises: the settings page: every button does what it says, asks before it sends secrets, shows nothing raw.
// Leans on: options.php rendered in the stub kernel.
// Must never: click what the page does not offer.

declare(strict_types=1);


use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;

/** Render the page, posting some fields. */
$page = static fn (Portal $portal, array $post = [], string $right = 'W', bool $session = true): string => (string)$portal->php('
    define("B_PROLOG_INCLUDED", true);
    $_SERVER["HTTP_HOST"] = "portal.local:8443";
    $_SERVER["HTTPS"] = "on";
    $GLOBALS["APPLICATION"]->right = "' . $right . '";
    $GLOBALS["USER"]->Authorize(1);
    $_POST = ' . var_export($post, true) . ';
    if ($_POST !== []) {
        $_SERVER["REQUEST_METHOD"] = "POST";
        ' . ($session ? '$_POST["sessid"] = bitrix_sessid();' : '') . '
    }
    ob_start();
    require \Bitrix\Main\Application::getDocumentRoot() . "/local/modules/bitrelay.connector/options.php";
    return ob_get_clean();');
$code = static fn (string $url, string $once = 'once'): string => rtrim(strtr(base64_encode(json_encode(['v' => 1, 'url' => $url, 'code' => $once])), '+/', '-_'), '=');
$fresh = static function (string $name, string $language = 'en'): array {
    $relay = (new ScriptedRelay('page-' . $name))->start();
    $portal = new Portal('page-' . $name, null, [], $language);
    $portal->install();
    $portal->addUser(1);
    return [$relay, $portal];
};
$form = static fn (array $changes): array => $changes + [
    'save' => 'x', 'relay_url' => 'http://127.0.0.1:9', 'ca' => '', 'mode' => 'all', 'apps' => '', 'hosts' => '', 'capture_events' => '',
    'local_validation' => 'Y', 'outbox' => 'Y', 'shutdown_net' => 'Y', 'connect_timeout' => '2', 'read_timeout' => '5', 'backoff_min' => '30',
    'backoff_max' => '600', 'outbox_limit' => '200000', 'outbox_warn_percent' => '25', 'token_cache' => '30',
];
$option = static fn (Portal $portal, string $module, string $name): mixed => $portal->php('return \Bitrix\Main\Config\Option::getRealValue("' . $module . '", "' . $name . '", "");');

return [
    'a portal never registered: one pasted line, and it is connected and registered' => static function () use ($fresh, $page, $code, $option): void {
        [$relay, $portal] = $fresh('new');
        $html = $page($portal, ['connect' => 'x', 'connection_code' => $code($relay->url()), 'connect_mode' => 'all']);
        Expect::contains('The portal is pointed at ' . $relay->url(), $html);
        Expect::contains('The portal is registered at the relay', $html);
        Expect::same($relay->url(), $option($portal, 'rest', 'oauth_server'));
        Expect::same(ScriptedRelay::PORTAL_ID, $option($portal, 'rest', 'service_client_id'));
        Expect::same('https://portal.local:8443', $option($portal, 'bitrelay.connector', 'portal_url'));
    },
    'a portal from the cloud keeps its identity: nothing is sent unticked, everything once ticked' => static function () use ($fresh, $page, $code, $option): void {
        [$relay, $portal] = $fresh('adopt');
        $portal->option('rest', 'service_client_id', ScriptedRelay::PORTAL_ID);
        $portal->option('rest', 'service_client_secret', ScriptedRelay::PORTAL_SECRET);
        $portal->addApp('local.one', 'secret-one', 'crm,user', 'Первое "приложение"');
        $portal->addApp('no_client_id_77', '', 'crm', 'dummy');
        $html = $page($portal, ['connect' => 'x', 'connection_code' => $code($relay->url()), 'connect_mode' => 'all']);
        Expect::contains('Hand its identity over', $html);
        Expect::true(!is_file($relay->folder . '/adopted.json'), 'nothing was sent');
        Expect::contains('the agreement is not ticked', $page($portal, ['adopt' => 'x']));
        Expect::contains('Applications handed over: 1', $page($portal, ['adopt' => 'x', 'adopt_confirmed' => 'Y']));
        Expect::same([
            'url' => 'https://portal.local:8443', 'client_id' => ScriptedRelay::PORTAL_ID, 'client_secret' => ScriptedRelay::PORTAL_SECRET,
            'apps' => [['client_id' => 'local.one', 'client_secret' => 'secret-one', 'title' => 'Первое "приложение"', 'redirect_uri' => 'http://app.local/', 'scope' => 'crm,user', 'status' => 'L', 'version' => 1]],
        ], json_decode((string)file_get_contents($relay->folder . '/adopted.json'), true));
        Expect::same([ScriptedRelay::PORTAL_ID, ScriptedRelay::PORTAL_SECRET], [$option($portal, 'rest', 'service_client_id'), $option($portal, 'rest', 'service_client_secret')], 'unchanged');
        Expect::contains('run relay portal add again', $page($portal, ['adopt' => 'x', 'adopt_confirmed' => 'Y']), 'the code is used up');
    },
    'the adoption file holds the same document, and only after the tick' => static function () use ($fresh, $page): void {
        [$relay, $portal] = $fresh('file');
        $portal->option('rest', 'service_client_id', ScriptedRelay::PORTAL_ID);
        $portal->option('rest', 'service_client_secret', ScriptedRelay::PORTAL_SECRET);
        Expect::true(!str_contains($page($portal, ['adoption_file' => 'x']), ScriptedRelay::PORTAL_SECRET), 'not ticked');
        [, $process] = $portal->start('define("B_PROLOG_INCLUDED", true); $_SERVER += ["HTTP_HOST" => "portal.local"]; $_SERVER["REQUEST_METHOD"] = "POST";
            $_POST = ["adoption_file" => "x", "adopt_confirmed" => "Y", "sessid" => bitrix_sessid()]; ob_start(); echo "<html>";
            require \Bitrix\Main\Application::getDocumentRoot() . "/local/modules/bitrelay.connector/options.php";');
        $text = stream_get_contents($process[1]);
        proc_close($process[0]);
        $document = json_decode((string)$text, true);
        Expect::same([ScriptedRelay::PORTAL_ID, ScriptedRelay::PORTAL_SECRET, []], [$document['client_id'], $document['client_secret'], $document['apps']]);
    },
    'apps without a client id are listed and repaired with one press, telling nobody else' => static function () use ($fresh, $page, $code): void {
        [$relay, $portal] = $fresh('repair');
        $page($portal, ['connect' => 'x', 'connection_code' => $code($relay->url()), 'connect_mode' => 'all']);
        $portal->addApp('no_client_id_1', '', 'crm', 'Lost one');
        $portal->addApp('no_client_id_2', '', 'user', 'Lost two');
        $portal->addApp('local.kept', 'kept', 'user', 'Fine');
        Expect::contains('Lost two', $page($portal));
        Expect::contains('Applications repaired: 2', $page($portal, ['repair' => 'x']));
        $rows = $portal->sql('SELECT CLIENT_ID, CLIENT_SECRET, SHARED_KEY FROM b_rest_app ORDER BY ID');
        foreach ([0, 1] as $i) {
            Expect::true(str_starts_with($rows[$i]['CLIENT_ID'], 'local.'), 'a real client id');
            Expect::same(md5(md5(ScriptedRelay::PORTAL_ID) . $rows[$i]['CLIENT_SECRET']), $rows[$i]['SHARED_KEY']);
        }
        Expect::same(['local.kept', 'kept'], [$rows[2]['CLIENT_ID'], $rows[2]['CLIENT_SECRET']]);
        Expect::same(0, count($relay->calls('/rest/application.update')));
        Expect::same('user', $relay->calls('/rest/application.add')[1]['fields']['SCOPE']);
    },
    'settings are stored all or none, and faults are named' => static function () use ($fresh, $page, $form, $option): void {
        [, $portal] = $fresh('save');
        $html = $page($portal, $form(['read_timeout' => '0', 'hosts' => '10.0.0.0/99', 'capture_events' => 'nonsense', 'relay_url' => 'https://r/path', 'ca' => 'junk']));
        foreach (['read_timeout: a whole number from 1 to 60', 'hosts: “10.0.0.0/99”', 'capture_events: “nonsense”', 'without a path'] as $fault) {
            Expect::contains($fault, $html);
        }
        Expect::same(null, $option($portal, 'bitrelay.connector', 'read_timeout'));
        Expect::contains('The settings are saved', $page($portal, $form(['hosts' => "10.0.0.0/8\n*.local", 'capture_events' => 'crm:OnAfterCrmDealAdd', 'token_cache' => '0'])));
        Expect::same('10.0.0.0/8,*.local', $option($portal, 'bitrelay.connector', 'hosts'));
        Expect::same('http://127.0.0.1:9', $option($portal, 'rest', 'oauth_server'));
        Expect::same(1, count($portal->sql("SELECT * FROM b_module_to_module WHERE TO_METHOD = 'onBusinessEvent'")));
        Expect::contains('back with the cloud', $page($portal, ['back_to_cloud' => 'x']));
        Expect::same(null, $option($portal, 'rest', 'oauth_server'));
    },
    'without the right there is no page; without the session nothing happens' => static function () use ($fresh, $page, $code, $option): void {
        [$relay, $portal] = $fresh('rights');
        $post = ['connect' => 'x', 'connection_code' => $code($relay->url()), 'connect_mode' => 'all'];
        Expect::same('auth form', $page($portal, $post, 'R'));
        Expect::true(!str_contains($page($portal, $post, 'W', false), 'pointed at'), 'no session');
        Expect::same(null, $option($portal, 'rest', 'oauth_server'));
    },
    'whatever a name holds is escaped, and no secret is on the page' => static function () use ($fresh, $page, $form): void {
        [$relay, $portal] = $fresh('xss');
        $evil = '<script>alert(1)</script>';
        $portal->addApp('no_client_id_1', '', 'crm', $evil);
        $portal->option('bitrelay.connector', 'relay_url', $evil);
        $portal->option('bitrelay.connector', 'hosts', '"' . $evil);
        $portal->option('rest', 'service_client_secret', ScriptedRelay::PORTAL_SECRET);
        $relay->configure(['refuse' => $evil]);
        $html = $page($portal) . $page($portal, $form(['relay_url' => $evil, 'hosts' => $evil . '/9'])) . $page($portal, ['repair' => 'x']);
        Expect::true(!str_contains($html, '<script'), 'raw markup');
        Expect::contains('&lt;script', $html);
        Expect::true(!str_contains($html, ScriptedRelay::PORTAL_SECRET), 'a secret');
    },
    'a bad line is refused in plain words, in both languages' => static function () use ($fresh, $page): void {
        [, $portal] = $fresh('badcode');
        Expect::contains('Copy the whole line', $page($portal, ['connect' => 'x', 'connection_code' => 'nonsense', 'connect_mode' => 'all']));
        [, $russian] = $fresh('ru', 'ru');
        Expect::contains('Скопируйте целиком строку', $page($russian, ['connect' => 'x', 'connection_code' => 'nonsense', 'connect_mode' => 'all']));
        Expect::contains('Подключено с', $page($russian));
    },
    'the status shows what waits and since when; Send now sends it' => static function () use ($fresh, $page, $code): void {
        [$relay, $portal] = $fresh('status');
        $page($portal, ['connect' => 'x', 'connection_code' => $code($relay->url()), 'connect_mode' => 'all']);
        $portal->bindEvent('http://127.0.0.1:9/handler', 0);
        $relay->stop();
        $portal->php(Hits::deals(1, 7));
        $html = $page($portal);
        Expect::same(1, preg_match('~Events waiting</td><td>7</td>~', $html), 'depth');
        Expect::contains('Last failure', $html);
        $relay->start();
        Expect::contains('Events taken by the relay now: 7', $page($portal, ['send_now' => 'x']));
        Expect::same(1, preg_match('~Events waiting</td><td>0</td>~', $page($portal)));
    },
    'refused events are dropped only after the tick' => static function () use ($fresh, $page, $code): void {
        [$relay, $portal] = $fresh('drop');
        $page($portal, ['connect' => 'x', 'connection_code' => $code($relay->url()), 'connect_mode' => 'all']);
        $portal->sql("INSERT INTO b_bitrelay_outbox (ITEM_ID, CREATED_AT, STATE, PAYLOAD) VALUES ('a', 1, 'H', 'x')");
        $held = static fn (): int => (int)$portal->sql('SELECT COUNT(*) AS C FROM b_bitrelay_outbox')[0]['C'];
        $page($portal, ['drop_held' => 'x']);
        Expect::same(1, $held());
        $page($portal, ['drop_held' => 'x', 'drop_confirmed' => 'Y']);
        Expect::same(0, $held());
    },
    'the facts are methods, events, scopes and versions, and nothing else; the agent sends them by itself' => static function () use ($fresh, $page, $code): void {
        [$relay, $portal] = $fresh('facts');
        $page($portal, ['connect' => 'x', 'connection_code' => $code($relay->url()), 'connect_mode' => 'all']);
        $portal->php(Hits::agents(1));
        $facts = json_decode((string)file_get_contents($relay->folder . '/facts.json'), true);
        Expect::same(['methods', 'scopes', 'events', 'modules', 'php', 'sm_version'], array_keys($facts));
        Expect::true(in_array('crm.deal.add', $facts['methods'], true) && !in_array('_placements', $facts['methods'], true), 'methods');
        Expect::same(['ONCRMDEALADD', 'ONUSERADD'], $facts['events']);
        Expect::same(['bitrelay.connector' => '1.0.0', 'rest' => '26.200.0'], $facts['modules']);
        $portal->php(Hits::agents(120));
        Expect::same(1, count($relay->calls('/rest/relay.facts')), 'once a day');
        Expect::contains('knows what this portal can do', $page($portal, ['facts' => 'x']));
    },
];
