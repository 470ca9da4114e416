<?php

// Promises: small files of this web node, in the portal's cache folder, written whole or not at all.
// Leans on: rename() being atomic; everything here can be rebuilt, so a cleared cache costs one query.
// Must never: be the only place of anything, or hold a secret in the clear.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrix\Main\Application;

final class NodeCache
{
    public function __construct(private readonly string $folder)
    {
    }

    public static function ofPortal(): self
    {
        return new self(Application::getDocumentRoot() . Application::getPersonalRoot() . '/cache/bitrelay.connector');
    }

    public function path(string $name): string
    {
        return $this->folder . '/' . $name;
    }

    public function read(string $name): ?string
    {
        $text = @file_get_contents($this->path($name));
        return $text === false ? null : $text;
    }

    /** @return bool false where the folder cannot be written: the caller goes on without */
    public function write(string $name, string $text): bool
    {
        $path = $this->path($name);
        if (!is_dir(dirname($path)) && !@mkdir(dirname($path), 0775, true) && !is_dir(dirname($path))) {
            return false;
        }
        $draft = @tempnam(dirname($path), 'new');
        // tempnam falls back to the system's folder, from where a rename would not be atomic.
        if ($draft === false || dirname($draft) !== dirname($path)) {
            return false;
        }
        if (@file_put_contents($draft, $text) !== strlen($text) || !@chmod($draft, 0664) || !@rename($draft, $path)) {
            @unlink($draft);
            return false;
        }
        return true;
    }

    /** When a mark was last made here, unix seconds; 0 = never. */
    public function markedAt(string $name): int
    {
        clearstatcache(true, $this->path($name));
        return (int)@filemtime($this->path($name));
    }

    public function delete(string $name): void
    {
        @unlink($this->path($name));
    }

    /** @return list<string> names, without folder */
    public function names(string $pattern): array
    {
        $found = glob($this->path($pattern));
        return $found === false ? [] : array_map('basename', $found);
    }

    public function clear(): void
    {
        self::remove($this->folder);
    }

    private static function remove(string $path): void
    {
        if (is_dir($path) && !is_link($path)) {
            foreach (array_diff((array)@scandir($path), ['.', '..', false]) as $name) {
                self::remove($path . '/' . $name);
            }
            @rmdir($path);
            return;
        }
        if (is_file($path)) {
            @unlink($path);
        }
    }
}
