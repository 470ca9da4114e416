<?php

// Promises: the kernel's application: connections, context, background jobs, terminate.
// Leans on: the stub's settings.
// Must never: run a background job before the epilog.

declare(strict_types=1);


namespace Bitrix\Main;

use Bitrix\Main\Data\ConnectionPool;
use Bitrix\Main\Data\ManagedCache;

class Application
{
    public const JOB_PRIORITY_NORMAL = 100;
    public const JOB_PRIORITY_LOW = 50;

    private static ?self $instance = null;
    /** @var list<array{0: callable, 1: array<mixed>, 2: int}> */
    private array $jobs = [];
    private ?ManagedCache $managedCache = null;
    private ?Context $context = null;

    /** @param array<string, array<string, mixed>> $connections */
    private function __construct(private readonly string $root, private readonly ConnectionPool $pool)
    {
    }

    /** @param array<string, array<string, mixed>> $connections */
    public static function boot(string $root, array $connections): self
    {
        return self::$instance = new self($root, new ConnectionPool($connections));
    }

    public static function getInstance()
    {
        return self::$instance;
    }

    public static function getConnection($name = '')
    {
        return self::$instance->pool->getConnection($name);
    }

    public static function getDocumentRoot()
    {
        return self::$instance->root;
    }

    public static function getPersonalRoot()
    {
        return '/bitrix';
    }

    public function getConnectionPool()
    {
        return $this->pool;
    }

    public function getManagedCache()
    {
        return $this->managedCache ??= new ManagedCache();
    }

    public function getContext()
    {
        return $this->context ??= new Context();
    }

    public function addBackgroundJob(callable $job, array $args = [], $priority = self::JOB_PRIORITY_NORMAL)
    {
        $this->jobs[] = [$job, $args, $priority];
        return $this;
    }

    /** OnAfterEpilog comes before every background job; jobs of one priority have no order, so they are turned round. */
    public function terminate(): void
    {
        foreach (GetModuleEvents('main', 'OnAfterEpilog', true) as $event) {
            ExecuteModuleEventEx($event);
        }
        $this->runBackgroundJobs();
    }

    public function runBackgroundJobs(): void
    {
        while ($this->jobs !== []) {
            $jobs = array_reverse($this->jobs);
            $this->jobs = [];
            usort($jobs, static fn (array $a, array $b): int => $b[2] <=> $a[2]);
            foreach ($jobs as [$job, $args]) {
                $job(...$args);
            }
        }
    }
}
