<?php

// Promises: the base of a module's installer.
// Leans on: the module's folder.
// Must never: install by itself.

declare(strict_types=1);



class CModule
{
    public static function CreateModuleObject($moduleId)
    {
        $file = \Bitrix\Main\Loader::folder($moduleId) . '/install/index.php';
        if (!is_file($file)) {
            return false;
        }
        require_once $file;
        $class = str_replace('.', '_', $moduleId);
        return new $class();
    }
}
