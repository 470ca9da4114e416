<?php

// Promises: the scripted relay: answers as the contract says, or fails as the test wants.
// Leans on: RELAY_FOLDER with config.json.
// Must never: keep an item twice.

declare(strict_types=1);


use Bitrelay\Tests\Issuer;

require __DIR__ . '/Issuer.php';

$folder = (string)getenv('RELAY_FOLDER');
$config = json_decode((string)file_get_contents($folder . '/config.json'), true);
$path = rtrim((string)parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/');
$call = json_encode(['path' => $path, 'fields' => array_diff_key($_POST, ['QUERY' => 1]), 'items' => count($_POST['QUERY'] ?? [])], JSON_INVALID_UTF8_SUBSTITUTE);
file_put_contents($folder . '/calls.jsonl', $call . "\n", FILE_APPEND | LOCK_EX);

if ($config['mode'] === 'hang') {
    sleep(60);
}
if ($config['mode'] === '503') {
    http_response_code(503);
    header('Content-Type: text/plain');
    echo 'try later';
    return;
}
header('Content-Type: application/json');
$answer = static function (mixed $document): void {
    echo json_encode($document);
};
$pem = (string)file_get_contents($folder . '/signing.pem');

if ($path === '/.well-known/jwks.json') {
    $answer(Issuer::jwks($pem, 'k1'));
    return;
}
if ($path === '/oauth/register') {
    $answer(['client_id' => $config['portal_id'], 'client_secret' => $config['portal_secret']]);
    return;
}
$isKnown = ($_POST['client_id'] ?? '') === $config['portal_id'] && ($_POST['client_secret'] ?? '') === $config['portal_secret'];
if (!$isKnown && $path !== '/rest/relay.adopt') {
    $answer(['error' => 'invalid_client', 'error_description' => 'bad credentials']);
    return;
}

switch ($path) {
    case '/rest/methods':
        $answer(['result' => ['methods']]);
        break;
    case '/rest/relay.echo':
        $answer(['result' => ['echo' => $_POST['TOKEN'], 'time' => time() + ($config['skew'] ?? 0), 'version' => '1.0']]);
        break;
    case '/rest/relay.facts':
        file_put_contents($folder . '/facts.json', $_POST['FACTS']);
        $answer(['result' => true]);
        break;
    case '/rest/relay.adopt':
        file_put_contents($folder . '/adopted.json', $_POST['PORTAL']);
        $portal = json_decode($_POST['PORTAL'], true);
        $answer($_POST['CODE'] === 'once'
            ? ['result' => ['member_id' => md5($portal['client_id']), 'adopted' => count($portal['apps']), 'known' => 0]]
            : ['error' => 'invalid_grant', 'error_description' => 'the code is used up']);
        break;
    case '/rest/application.add':
        $answer(['result' => ['client_id' => 'local.' . bin2hex(random_bytes(6)), 'client_secret' => bin2hex(random_bytes(20))]]);
        break;
    case '/rest/relay.bundle':
        $memberId = md5($config['portal_id']);
        $etag = md5(json_encode([$config['apps'], $config['revoked'], $config['through'], $config['listed_keys'], $config['bundle_ttl']]));
        if (($_POST['ETAG'] ?? '') === $etag && $config['bundle_ttl'] > 60) {
            $answer(['result' => ['not_modified' => true, 'etag' => $etag]]);
            break;
        }
        $keys = array_map(static fn (int $id): array => [
            'id' => $id, 'nbf' => time() - 60, 'exp' => time() + 86400,
            'key' => Issuer::wrap($id, (string)hex2bin(hash('sha256', 'relay key ' . $id)), $config['portal_secret'], $memberId),
        ], $config['listed_keys']);
        $answer(['result' => ['not_modified' => false, 'etag' => $etag, 'bundle' => Issuer::sign([
            'iss' => $config['url'], 'aud' => $memberId, 'iat' => time(), 'exp' => time() + $config['bundle_ttl'],
            'keys' => $keys, 'apps' => $config['apps'], 'revoked' => $config['revoked'], 'through' => (object)$config['through'],
        ], $pem, 'k1')]]);
        break;
    case '/rest/rest.authorize':
        $params = $_POST['PARAMS'];
        $token = Issuer::seal([
            'expires' => time() + 3600, 'key_id' => 1, 'user_id' => (int)$params['LOCAL_USER'], 'app_number' => 7,
            'serial' => bin2hex(random_bytes(6)), 'event_session' => (int)$params['EVENT_SESSION'],
        ], (string)hex2bin(hash('sha256', 'relay key 1')));
        $answer(['result' => ['access_token' => $token, 'expires' => time() + 3600, 'expires_in' => 3600, 'refresh_token' => str_repeat('f', 70),
            'scope' => $_POST['SCOPE'], 'status' => 'L', 'server_endpoint' => $config['url'] . '/rest/', 'session_seen' => $params['EVENT_SESSION']]]);
        break;
    case '/rest/rest.check':
        $serial = substr($_POST['TOKEN'], 38, 4);
        $known = $config['checks'][$_POST['TOKEN']] ?? null;
        $answer($known ?? ['result' => [
            'access_token' => $_POST['TOKEN'], 'client_id' => $config['apps'][0][1], 'expires' => time() + 3600, 'scope' => 'crm,user',
            'status' => 'L', 'parameters' => ['LOCAL_USER' => 1, 'EVENT_SESSION' => 5, 'from_relay' => 'yes'],
        ]]);
        break;
    case '/rest/rest.event.call':
        if (isset($config['refuse'])) {
            $answer(['error' => $config['refuse'], 'error_description' => 'as the test wants']);
            break;
        }
        foreach ($_POST['QUERY'] as $item) {
            if (($item['query']['QUERY_DATA']['data']['TITLE'] ?? '') === 'poison') {
                $answer(['error' => 'invalid_request', 'error_description' => 'poison']);
                return;
            }
        }
        $db = new SQLite3($folder . '/items.sqlite');
        $db->busyTimeout(10000);
        $db->exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE IF NOT EXISTS items (seq INTEGER PRIMARY KEY, item_id TEXT UNIQUE, item TEXT); BEGIN IMMEDIATE');
        $new = [];
        foreach ($_POST['QUERY'] as $item) {
            $insert = $db->prepare('INSERT OR IGNORE INTO items (item_id, item) VALUES (:id, :item)');
            $insert->bindValue('id', $item['relay_item_id'] ?? bin2hex(random_bytes(16)));
            $insert->bindValue('item', json_encode($item, JSON_INVALID_UTF8_SUBSTITUTE));
            $insert->execute();
            if ($db->changes() > 0) {
                $new[] = $item;
            }
        }
        $db->exec('COMMIT');
        if ($config['deliver']) {
            foreach ($new as $item) {
                file_get_contents($item['query']['QUERY_URL'], false, stream_context_create(['http' => [
                    'method' => 'POST',
                    'header' => "Content-Type: application/x-www-form-urlencoded\r\nX-Relay-Event-Id: " . $item['relay_item_id'] . "\r\nX-Relay-Attempt: 1",
                    'content' => http_build_query($item['query']['QUERY_DATA'] + ['auth' => $item['auth'] ?? []]),
                ]]));
            }
        }
        // A client that was killed must not hear of it, but the item is stored: the test of "no event twice".
        $answer(['result' => true]);
        break;
    default:
        $answer(['error' => 'ERROR_METHOD_NOT_FOUND', 'error_description' => 'unknown method']);
}
