<?php

// Promises: options in b_option; a stored empty text beats the default.
// Leans on: the database and default_option.php.
// Must never: see what another process changes after the first look, as the kernel does not either.

declare(strict_types=1);


namespace Bitrix\Main\Config;

use Bitrix\Main\Application;
use Bitrix\Main\Loader;

class Option
{
    /** @var array<string, array<string, string>> by module */
    private static array $loaded = [];

    public static function get($moduleId, $name, $default = '', $siteId = false)
    {
        return self::getRealValue($moduleId, $name, '') ?? ($default !== '' ? $default : (self::defaults($moduleId)[$name] ?? $default));
    }

    public static function getRealValue($moduleId, $name, $siteId = false)
    {
        if (!isset(self::$loaded[$moduleId])) {
            $rows = Application::getConnection()->query('SELECT NAME, VALUE FROM b_option WHERE ' . self::where($moduleId, null))->fetchAll();
            self::$loaded[$moduleId] = array_map(strval(...), array_column($rows, 'VALUE', 'NAME'));
        }
        return self::$loaded[$moduleId][$name] ?? null;
    }

    public static function set($moduleId, $name, $value = '', $siteId = '')
    {
        self::delete($moduleId, ['name' => $name]);
        $connection = Application::getConnection();
        $quoted = array_map($connection->getSqlHelper()->convertToDbString(...), [$moduleId, $name, (string)$value]);
        $connection->queryExecute('INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES (' . implode(', ', $quoted) . ')');
    }

    public static function delete($moduleId, $filter = [])
    {
        Application::getConnection()->queryExecute('DELETE FROM b_option WHERE ' . self::where($moduleId, $filter['name'] ?? null));
        unset(self::$loaded[$moduleId]);
    }

    private static function where(string $moduleId, ?string $name): string
    {
        $helper = Application::getConnection()->getSqlHelper();
        return 'MODULE_ID = ' . $helper->convertToDbString($moduleId)
            . ($name === null ? '' : ' AND NAME = ' . $helper->convertToDbString($name));
    }

    /** @return array<string, string> */
    private static function defaults(string $moduleId): array
    {
        static $known = [];
        if (!isset($known[$moduleId])) {
            $file = Loader::folder($moduleId) . '/default_option.php';
            $variable = str_replace('.', '_', $moduleId) . '_default_option';
            $$variable = [];
            if (is_file($file)) {
                include $file;
            }
            $known[$moduleId] = $$variable;
        }
        return $known[$moduleId];
    }
}
