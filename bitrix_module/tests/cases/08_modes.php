<?php

// Promises: chosen apps and chosen handlers: only what was chosen goes to the relay, the rest stays with the cloud.
// Leans on: two scripted servers, one of them as the cloud.
// Must never: let the two see each other.

declare(strict_types=1);


use Bitrelay\Tests\Expect;
use Bitrelay\Tests\Hits;
use Bitrelay\Tests\Portal;
use Bitrelay\Tests\ScriptedRelay;

$trio = static function (string $name, string $mode): array {
    $relay = (new ScriptedRelay('m-relay-' . $name))->start();
    $cloud = (new ScriptedRelay('m-cloud-' . $name))->start();
    $portal = new Portal('m-' . $name);
    $portal->option('rest', 'oauth_server', $cloud->url());
    $portal->install();
    $portal->option('rest', 'service_client_id', ScriptedRelay::PORTAL_ID);
    $portal->option('rest', 'service_client_secret', ScriptedRelay::PORTAL_SECRET);
    $portal->addApp(ScriptedRelay::APP_ID, 'app-secret', 'crm,user');
    $portal->addApp('local.cloud.app', 'cloud-secret', 'crm');
    $portal->addUser(1);
    $portal->option('bitrelay.connector', 'relay_url', $relay->url());
    $portal->option('bitrelay.connector', 'apps', ScriptedRelay::APP_ID);
    $portal->option('bitrelay.connector', 'hosts', '192.168.0.0/16');
    $portal->php('\Bitrix\Main\Loader::includeModule("bitrelay.connector"); \Bitrelay\Connector\Portal\Connecting::follow(\Bitrelay\Connector\Mode::of("' . $mode . '"));');
    return [$relay, $cloud, $portal];
};
$ids = static fn (ScriptedRelay $server): array => array_map(
    static fn (array $row): string => ($row['item']['client_id'] ?? 'none') . ' ' . $row['item']['query']['QUERY_URL'],
    $server->received()
);
$get = static fn (string $clientId): string => 'return \Bitrix\Rest\Application::getAuthProvider()->get("' . $clientId . '", "crm", [], 1);';
$open = '\Bitrix\Main\Loader::includeModule("bitrelay.connector"); $wiring = \Bitrelay\Connector\Wiring::instance();';

return [
    'chosen apps: tokens of a listed app come from the relay, of the others from the cloud' => static function () use ($trio, $get): void {
        [$relay, $cloud, $portal] = $trio('auth', 'apps');
        $token = $portal->php($get(ScriptedRelay::APP_ID));
        Expect::same([1, ScriptedRelay::APP_ID, 70], [$token['user_id'], $token['client_id'], strlen($token['access_token'])]);
        $portal->php($get('local.cloud.app'));
        Expect::same([1, 1], [count($relay->calls('/rest/rest.authorize')), count($cloud->calls('/rest/rest.authorize'))]);
        Expect::same('local.cloud.app', $cloud->calls('/rest/rest.authorize')[0]['fields']['CLIENT_ID']);
        Expect::same(true, $portal->php(Hits::rest($token['access_token']))['accepted'], 'and the portal takes the relay\'s token');
        Expect::same(0, count($cloud->calls('/rest/rest.check')), 'the cloud never sees it');
    },
    'chosen apps: a token of the cloud is left to the cloud, even with the relay down' => static function () use ($trio): void {
        [$relay, $cloud, $portal] = $trio('cloudtoken', 'apps');
        $portal->php(Hits::rest($relay->token()));
        $foreign = str_repeat('5a', 35);
        $cloud->configure(['apps' => [[1, 'local.cloud.app', 'crm', 'L', 1]]]);
        $seen = $portal->php(Hits::rest($foreign));
        Expect::same([true, 'local.cloud.app'], [$seen['accepted'], $seen['info']['client_id']]);
        Expect::same(0, count($relay->calls('/rest/rest.check')), 'the relay never sees it');
        $relay->stop();
        $portal->php(Hits::rest($foreign));
        Expect::same(1, count($cloud->calls('/rest/rest.check')), 'the stock cache holds it');
        Expect::same(true, $portal->php(Hits::rest($relay->token()))['accepted']);
    },
    'chosen apps: without a bundle a token the relay does not know goes to the cloud' => static function () use ($trio): void {
        [$relay, $cloud, $portal] = $trio('nobundle', 'apps');
        $portal->option('bitrelay.connector', 'local_validation', 'N');
        $foreign = str_repeat('5a', 35);
        $relay->configure(['checks' => [$foreign => ['error' => 'invalid_token', 'error_description' => 'unknown']]]);
        $cloud->configure(['apps' => [[1, 'local.cloud.app', 'crm', 'L', 1]]]);
        Expect::same(true, $portal->php(Hits::rest($foreign))['accepted']);
        Expect::same(true, $portal->php(Hits::rest($relay->token()))['accepted']);
    },
    'chosen apps: events of a listed app go to the relay, of the others and of webhooks to the cloud' => static function () use ($trio, $ids): void {
        [$relay, $cloud, $portal] = $trio('events', 'apps');
        $portal->bindEvent('http://a.local/', 1);
        $portal->bindEvent('http://b.local/', 2);
        $portal->bindEvent('http://c.local/', 0);
        $portal->php(Hits::deals(1, 1));
        Expect::same([ScriptedRelay::APP_ID . ' http://a.local/'], $ids($relay));
        Expect::same(['local.cloud.app http://b.local/', 'none http://c.local/'], $ids($cloud));
    },
    'chosen apps: a direct sender\'s mixed batch is divided, and the cloud gets its own part whole' => static function () use ($trio, $ids): void {
        [$relay, $cloud, $portal] = $trio('mixed', 'apps');
        $sent = $portal->php('
            $item = fn (string $app, string $url) => \Bitrix\Rest\Sqs::queryItem($app, $url, ["message_body" => "Тест & тест"], ["LOCAL_USER" => 1]);
            return \Bitrix\Rest\OAuthService::getEngine()->getClient()->sendEvent([$item("' . ScriptedRelay::APP_ID . '", "http://a.local/"), $item("local.cloud.app", "http://b.local/")]);');
        Expect::same(['result' => true], $sent);
        Expect::same([ScriptedRelay::APP_ID . ' http://a.local/'], $ids($relay));
        Expect::same(['local.cloud.app http://b.local/'], $ids($cloud));
        Expect::same('Тест & тест', $cloud->received()[0]['item']['query']['QUERY_DATA']['message_body']);
    },
    'chosen handlers: events for listed hosts go through the relay with the cloud\'s auth block, finished' => static function () use ($trio, $ids, $open): void {
        [$relay, $cloud, $portal] = $trio('handlers', 'handlers');
        $portal->bindEvent('http://192.168.7.7/in', 1);
        $portal->bindEvent('http://out.example/', 1);
        $relay->stop();
        $portal->php('$_SERVER["HTTP_HOST"] = "portal.local:8080"; \Bitrix\Rest\Event\Session::$next = 4;' . Hits::deals(1, 1));
        $relay->start();
        $portal->php($open . '$wiring->state()->delete("backoff");' . Hits::agents(100));
        Expect::same([ScriptedRelay::APP_ID . ' http://192.168.7.7/in'], $ids($relay));
        Expect::same([ScriptedRelay::APP_ID . ' http://out.example/'], $ids($cloud));
        $item = $relay->received()[0]['item'];
        Expect::same('given', $item['relay_auth']);
        $auth = $item['auth'];
        Expect::same(['access_token', 'application_token', 'client_endpoint', 'domain', 'expires', 'expires_in', 'member_id', 'scope', 'server_endpoint', 'status', 'user_id'], (static function (array $a): array {
            $keys = array_keys($a);
            sort($keys);
            return $keys;
        })($auth));
        Expect::same(['portal.local:8080', 'http://portal.local:8080/rest/', $cloud->url() . '/rest/', '1'], [$auth['domain'], $auth['client_endpoint'], $auth['server_endpoint'], $auth['user_id']]);
        $asked = $cloud->calls('/rest/rest.authorize');
        Expect::same('4', end($asked)['fields']['PARAMS']['EVENT_SESSION'], 'the event\'s own loop counter');
        Expect::true(!isset($auth['refresh_token']), 'not asked for');
    },
    'chosen handlers: the cloud away, the event waits for its token and the hits do not' => static function () use ($trio, $open, $ids): void {
        [$relay, $cloud, $portal] = $trio('noauth', 'handlers');
        $portal->bindEvent('http://192.168.7.7/in', 1);
        $cloud->stop();
        $portal->php(Hits::deals(1, 1));
        $portal->php(Hits::deals(2, 1));
        Expect::same([], $ids($relay));
        Expect::same([0, 1], $portal->php($open . 'return [$wiring->backoff()->status()["failures"], $wiring->backoff("backoff_cloud")->status()["failures"]];'));
        $cloud->start();
        $portal->php($open . '$wiring->state()->delete("backoff_cloud");' . Hits::agents(100));
        Expect::same(2, count($relay->received()));
    },
    'chosen handlers: tokens stay wholly with the cloud' => static function () use ($trio): void {
        [$relay, $cloud, $portal] = $trio('tokens', 'handlers');
        $portal->php(Hits::rest(str_repeat('5a', 35)));
        $portal->php(Hits::agents(1));
        Expect::same([0, 0], [count($relay->calls('/rest/rest.check')), count($relay->calls('/rest/relay.bundle'))]);
    },
];
