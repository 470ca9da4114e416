<?php

// Promises: looks at the portal's own side: PHP, keys, handlers, folders, redirect, agents, outbox.
// Leans on: the kernel's options and the module's state.
// Must never: reach out to the network.

declare(strict_types=1);

namespace Bitrelay\Connector\Check;

use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Module;
use Bitrelay\Connector\Subscriptions;
use Bitrelay\Connector\Wiring;
use Bitrix\Main\Config\Configuration;
use Bitrix\Main\Config\Option;
use Bitrix\Main\EventManager;

final class PortalProbes
{
    private const EXTENSIONS = ['openssl', 'json', 'mbstring', 'hash'];
    private const AGENT_SILENT_S = 600;

    public function __construct(private readonly Wiring $wiring)
    {
    }

    /** @return list<Finding> */
    public function php(): array
    {
        if (PHP_VERSION_ID < 80100) {
            return [Finding::fail('PHP_OLD', ['VERSION' => PHP_VERSION])];
        }
        $missing = array_filter(self::EXTENSIONS, static fn (string $name): bool => !extension_loaded($name));
        return $missing === []
            ? [Finding::ok('PHP', ['VERSION' => PHP_VERSION])]
            : [Finding::fail('PHP_EXTENSION', ['NAMES' => implode(', ', $missing)])];
    }

    /** @return list<Finding> */
    public function cryptoKey(): array
    {
        $crypto = Configuration::getValue('crypto');
        return is_array($crypto) && ($crypto['crypto_key'] ?? '') !== ''
            ? [Finding::ok('CRYPTO')]
            : [Finding::warn('CRYPTO_NONE')];
    }

    /** @return list<Finding> */
    public function handlers(): array
    {
        $missing = [];
        foreach (Subscriptions::all($this->wiring->settings->captureEvents) as [$module, $event]) {
            $ours = array_filter(
                EventManager::getInstance()->findEventHandlers($module, $event),
                static fn (mixed $row): bool => is_array($row) && ($row['TO_MODULE_ID'] ?? '') === Module::ID
            );
            if ($ours === []) {
                $missing[] = $module . ':' . $event;
            }
        }
        return $missing === []
            ? [Finding::ok('HANDLERS')]
            : [Finding::fail('HANDLERS_MISSING', ['NAMES' => implode(', ', $missing)])];
    }

    /** @return list<Finding> */
    public function cacheFolder(): array
    {
        $cache = $this->wiring->cache();
        if (!$cache->write('check', (string)time())) {
            return [Finding::warn('CACHE_READONLY', ['PATH' => $cache->path('')])];
        }
        $cache->delete('check');
        return [Finding::ok('CACHE')];
    }

    /** @return list<Finding> */
    public function redirect(): array
    {
        $settings = $this->wiring->settings;
        $used = (string)\Bitrix\Rest\OAuth\Client::SERVICE_URL;
        if ($settings->mode !== Mode::All) {
            return $settings->mode === Mode::Off
                ? [Finding::warn('MODE_OFF')]
                : [Finding::ok('REDIRECT_CHOSEN', ['URL' => $used])];
        }
        if ($used === $settings->relayUrl) {
            return [Finding::ok('REDIRECT', ['URL' => $used])];
        }
        return (string)Option::get('rest', 'oauth_server', '', '') === $settings->relayUrl
            ? [Finding::fail('REDIRECT_CONSTANT', ['URL' => $used])]
            : [Finding::fail('REDIRECT_OPTION', ['URL' => $used])];
    }

    /** @return list<Finding> */
    public function curlClient(): array
    {
        $options = Configuration::getValue('http_client_options');
        $useCurl = is_array($options) && !empty($options['useCurl']);
        if (!$useCurl || $this->wiring->settings->ca === '' || (string)ini_get('curl.cainfo') !== '') {
            return [];
        }
        return [Finding::warn('CURL_CA')];
    }

    /** @return list<Finding> */
    public function agents(): array
    {
        $ran = $this->wiring->state()->read('agent_ran');
        $age = $ran === null ? null : time() - $ran['updated_at'];
        if ($age === null || $age > self::AGENT_SILENT_S) {
            return [Finding::fail('AGENTS_SILENT', ['MINUTES' => $age === null ? '–' : (string)intdiv($age, 60)])];
        }
        // On cron the agent sees the command-line interface; on hits it sees the web server's.
        return ($ran['value'] ?? '') === 'cli'
            ? [Finding::ok('AGENTS', ['SECONDS' => (string)$age])]
            : [Finding::warn('AGENTS_ON_HITS')];
    }

    /** @return list<Finding> */
    public function outbox(): array
    {
        $depth = $this->wiring->outbox()->depth();
        $findings = [];
        if ($depth['held'] > 0) {
            $findings[] = Finding::fail('OUTBOX_HELD', [
                'ROWS' => (string)$depth['held'],
                'ERROR' => $depth['held_error'],
            ]);
        }
        $age = $depth['waiting'] > 0 ? time() - $depth['oldest_at'] : 0;
        if ($age > self::AGENT_SILENT_S) {
            $findings[] = Finding::warn('OUTBOX_OLD', [
                'ROWS' => (string)$depth['waiting'],
                'MINUTES' => (string)intdiv($age, 60),
                'ERROR' => $this->wiring->backoff()->status()['trouble'] ?: '–',
            ]);
        }
        return $findings ?: [Finding::ok('OUTBOX', ['ROWS' => (string)$depth['waiting']])];
    }
}
