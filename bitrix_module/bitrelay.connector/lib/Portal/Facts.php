<?php

// Promises: tells the relay what this portal can do: methods, events, scopes, module versions.
// Leans on: CRestProvider's description, and SchemaManager where the portal has REST v3.
// Must never: send anything about people, data or settings.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Relay\RelayClient;
use Bitrix\Main\DI\ServiceLocator;
use Bitrix\Main\ModuleManager;

final class Facts
{
    /** @return array<string, mixed> */
    public static function collect(): array
    {
        $description = (new \CRestProvider())->getDescription();
        [$methods, $events] = [[], []];
        foreach ($description as $names) {
            foreach (is_array($names) ? $names : [] as $name => $detail) {
                if ($name === '_events') {
                    $events = array_merge($events, array_keys((array)$detail));
                } elseif (!str_starts_with((string)$name, '_')) {
                    $methods[] = (string)$name;
                }
            }
        }
        return [
            'methods' => self::sorted(array_merge($methods, self::methodsOfV3())),
            'scopes' => self::sorted(array_map('strval', \CRestUtil::getScopeList())),
            'events' => self::sorted(array_map('strval', $events)),
            'modules' => self::modules(),
            'php' => PHP_VERSION,
            'sm_version' => defined('SM_VERSION') ? (string)SM_VERSION : '',
        ];
    }

    public static function send(RelayClient $relay): RelayAnswer
    {
        return $relay->call('relay.facts', ['FACTS' => json_encode(
            self::collect(),
            JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE
        )]);
    }

    /** @return array<string, string> */
    private static function modules(): array
    {
        $versions = [];
        foreach (array_keys(ModuleManager::getInstalledModules()) as $id) {
            $versions[(string)$id] = (string)ModuleManager::getVersion((string)$id);
        }
        ksort($versions);
        return $versions;
    }

    /** @return list<string> */
    private static function methodsOfV3(): array
    {
        $manager = 'Bitrix\\Rest\\V3\\Schema\\SchemaManager';
        try {
            if (!class_exists($manager) || !class_exists(ServiceLocator::class)) {
                return [];
            }
            $service = ServiceLocator::getInstance()->get($manager);
            $names = is_object($service) && method_exists($service, 'getMethodDescriptions')
                ? array_keys((array)$service->getMethodDescriptions())
                : [];
            return array_values(array_filter($names, 'is_string'));
        } catch (\Throwable) {
            return []; // A portal whose REST v3 is half there still has facts worth telling.
        }
    }

    /**
     * @param array<string> $names
     * @return list<string>
     */
    private static function sorted(array $names): array
    {
        $names = array_values(array_unique($names));
        sort($names);
        return $names;
    }
}
