<?php

// Promises: the managed cache over files, one folder per portal.
// Leans on: the portal's folder.
// Must never: overwrite an entry that was read valid, which the kernel does not do either.

declare(strict_types=1);


namespace Bitrix\Main\Data;

use Bitrix\Main\Application;

class ManagedCache
{
    /** @var array<string, mixed> */
    private array $read = [];
    /** @var array<string, bool> */
    private array $valid = [];

    public function read($ttl, $uniqueId, $tableId = false)
    {
        if (!array_key_exists($uniqueId, $this->valid)) {
            $entry = @unserialize((string)@file_get_contents($this->file($uniqueId)));
            $this->valid[$uniqueId] = is_array($entry) && $entry[0] + $ttl > time();
            $this->read[$uniqueId] = $this->valid[$uniqueId] ? $entry[1] : false;
        }
        return $this->valid[$uniqueId] || $this->read[$uniqueId] !== false;
    }

    public function get($uniqueId)
    {
        return $this->read[$uniqueId] ?? false;
    }

    public function set($uniqueId, $value)
    {
        if (array_key_exists($uniqueId, $this->valid)) {
            $this->read[$uniqueId] = $value;
            if (!$this->valid[$uniqueId]) {
                file_put_contents($this->file($uniqueId), serialize([time(), $value]));
            }
        }
    }

    public function clean($uniqueId, $tableId = false)
    {
        @unlink($this->file($uniqueId));
        unset($this->read[$uniqueId], $this->valid[$uniqueId]);
    }

    private function file(string $uniqueId): string
    {
        $folder = Application::getDocumentRoot() . '/bitrix/managed_cache';
        is_dir($folder) || @mkdir($folder, 0775, true);
        return $folder . '/' . md5($uniqueId);
    }
}
