<?php

// Promises: a folder for one test process, removed when it ends.
// Leans on: the system's temporary folder.
// Must never: remove anything else.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Temp
{
    private static ?string $root = null;
    private static int $owner = 0;

    public static function folder(string $name): string
    {
        if (self::$root === null) {
            self::$root = sys_get_temp_dir() . '/bitrelay-' . bin2hex(random_bytes(6));
            self::$owner = (int)getmypid();
            mkdir(self::$root, 0755);
            register_shutdown_function(static function (): void {
                if (getmypid() === self::$owner) {
                    self::remove((string)self::$root);
                }
            });
        }
        $folder = self::$root . '/' . $name;
        if (!is_dir($folder)) {
            mkdir($folder, 0755, true);
        }
        return $folder;
    }

    /** A new folder, even for a name that was used before. */
    public static function fresh(string $name): string
    {
        static $count = 0;
        return self::folder($name . '-' . ++$count);
    }

    private static function remove(string $path): void
    {
        if (is_dir($path) && !is_link($path)) {
            foreach (array_diff((array)scandir($path), ['.', '..']) as $name) {
                self::remove($path . '/' . $name);
            }
            @rmdir($path);
        } else {
            @unlink($path);
        }
    }
}
