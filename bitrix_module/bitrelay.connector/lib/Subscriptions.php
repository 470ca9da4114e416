<?php

// Promises: every event handler of the module, declared once, registered and removed by the same strings.
// Leans on: EventManager; an identity leaves the sort out, so a row is removed before another sort is set.
// Must never: be repeated anywhere else.

declare(strict_types=1);

namespace Bitrelay\Connector;

use Bitrix\Main\EventManager;

final class Subscriptions
{
    private const HANDLERS = EventHandlers::class;
    /** module, event, method, sort, legacy call with positional arguments */
    private const ALWAYS = [
        ['main', 'OnAfterEpilog', 'onAfterEpilog', 10000, true],
        ['main', 'OnPageStart', 'onPageStart', 100, true],
        ['main', 'OnHttpClientBuildRequest', 'onHttpClientBuildRequest', 100, false],
        ['rest', 'onEventManagerInitialize', 'onEventManagerInitialize', 100, false],
        ['rest', 'onApplicationManagerInitialize', 'onApplicationManagerInitialize', 100, false],
        // The stock validators sit at 100, and equal sorts have no order.
        ['rest', 'OnRestCheckAuth', 'onRestCheckAuth', 90, true],
    ];
    /** After the stock REST handler of the same event, which sits at 100. */
    private const IN_TRANSACTION_SORT = 10000;

    /** @param list<string> $captureEvents "module:event" pairs */
    public static function register(array $captureEvents): void
    {
        foreach (self::all($captureEvents) as [$module, $event, $method, $sort, $legacy]) {
            $register = $legacy ? 'registerEventHandlerCompatible' : 'registerEventHandler';
            EventManager::getInstance()->$register($module, $event, Module::ID, self::HANDLERS, $method, $sort);
        }
    }

    /** @param list<string> $captureEvents */
    public static function unregister(array $captureEvents): void
    {
        foreach (self::all($captureEvents) as [$module, $event, $method]) {
            EventManager::getInstance()->unRegisterEventHandler($module, $event, Module::ID, self::HANDLERS, $method);
        }
    }

    /**
     * @param list<string> $before
     * @param list<string> $after
     */
    public static function replaceCaptured(array $before, array $after): void
    {
        foreach ([[$before, 'unRegisterEventHandler'], [$after, 'registerEventHandler']] as [$events, $call]) {
            foreach (self::captured($events) as [$module, $event, $method, $sort]) {
                $more = $call === 'registerEventHandler' ? [$sort] : [];
                EventManager::getInstance()->$call($module, $event, Module::ID, self::HANDLERS, $method, ...$more);
            }
        }
    }

    /**
     * @param list<string> $captureEvents
     * @return list<array{0: string, 1: string, 2: string, 3: int, 4: bool}>
     */
    public static function all(array $captureEvents): array
    {
        return array_merge(self::ALWAYS, self::captured($captureEvents));
    }

    /** Whether a text names an event the way the setting wants it. */
    public static function isEventName(string $text): bool
    {
        return preg_match('/^[a-z][a-z0-9_.]*:\\\\?[A-Za-z][A-Za-z0-9_\\\\:]*$/D', $text) === 1;
    }

    /**
     * @param list<string> $events
     * @return list<array{0: string, 1: string, 2: string, 3: int, 4: bool}>
     */
    private static function captured(array $events): array
    {
        $rows = [];
        foreach (array_filter($events, self::isEventName(...)) as $pair) {
            [$module, $event] = explode(':', $pair, 2);
            $rows[] = [$module, $event, 'onBusinessEvent', self::IN_TRANSACTION_SORT, false];
        }
        return $rows;
    }
}
