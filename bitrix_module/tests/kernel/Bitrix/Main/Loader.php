<?php

// Promises: includes an installed module once and finds its classes, lower-case path first.
// Leans on: b_module and local/modules.
// Must never: include what is not installed.

declare(strict_types=1);


namespace Bitrix\Main;

class Loader
{
    /** @var array<string, bool> */
    private static array $included = [];

    public static function includeModule($moduleName)
    {
        $id = strtolower((string)$moduleName);
        if (!isset(self::$included[$id])) {
            if (!ModuleManager::isModuleInstalled($id)) {
                return false;
            }
            self::$included[$id] = true;
            $file = self::folder($id) . '/include.php';
            self::$included[$id] = !is_file($file) || (include $file) !== false;
        }
        return self::$included[$id];
    }

    public static function clearModuleCache(string $id): void
    {
        unset(self::$included[$id]);
    }

    public static function folder(string $id): string
    {
        return Application::getDocumentRoot() . '/local/modules/' . $id;
    }

    public static function autoLoad(string $class): void
    {
        $parts = explode('\\', $class);
        if (count($parts) < 3) {
            return;
        }
        $id = strtolower($parts[0] . '.' . $parts[1]);
        if (!isset(self::$included[$id])) {
            return;
        }
        $path = implode('/', array_slice($parts, 2)) . '.php';
        foreach ([strtolower($path), $path] as $try) {
            if (is_file(self::folder($id) . '/lib/' . $try)) {
                require_once self::folder($id) . '/lib/' . $try;
                return;
            }
        }
    }
}
