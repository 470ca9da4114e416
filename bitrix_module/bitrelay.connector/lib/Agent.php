<?php

// Promises: what has to happen without a visitor: sending what waits, renewing the bundle, telling the facts.
// Leans on: the kernel's agents, on hits or on cron.
// Must never: throw (the kernel would park the agent) or return anything but its own name, letter for letter.

declare(strict_types=1);

namespace Bitrelay\Connector;

use Bitrelay\Connector\Portal\Facts;
use Bitrix\Main\Loader;
use Bitrix\Main\Localization\Loc;

final class Agent
{
    public const DELIVER = '\Bitrelay\Connector\Agent::deliver();';
    public const TEND = '\Bitrelay\Connector\Agent::tend();';

    public const PERIOD_S = 60;

    private const NOTICE_DEPTH = 'bitrelay_outbox_depth';
    private const NOTICE_HELD = 'bitrelay_outbox_held';
    /** A notice that somebody closed comes back after this, while its cause lasts. */
    private const NOTICE_EVERY_S = 86400;
    private const FACTS_EVERY_S = 86400;
    private const FACTS_RETRY_S = 3600;

    public static function deliver(): string
    {
        try {
            $wiring = Wiring::instance();
            if ($wiring->settings->connected() && Loader::includeModule('rest')) {
                $wiring->courier()->run(Wiring::AGENT_BUDGET_S);
            }
        } catch (\Throwable) {
            // Next minute.
        }
        return self::DELIVER;
    }

    public static function tend(): string
    {
        try {
            $wiring = Wiring::instance();
            $now = time();
            $wiring->state()->write('agent_ran', PHP_SAPI, $now);
            if ($wiring->settings->connected() && Loader::includeModule('rest')) {
                self::tendConnected($wiring, $now);
            }
        } catch (\Throwable) {
            // Next minute.
        }
        return self::TEND;
    }

    private static function tendConnected(Wiring $wiring, int $now): void
    {
        self::notices($wiring, $now);
        $settings = $wiring->settings;
        if ($settings->localValidation && $settings->mode->hasRelayTokens()) {
            $wiring->bundleKeeper()->renew(\CRestUtil::getMemberId() ?? '', $now);
            $wiring->tokenNotes()->tidy($now);
        }
        self::tellFacts($wiring, $now);
    }

    private static function tellFacts(Wiring $wiring, int $now): void
    {
        $state = $wiring->state();
        $due = (int)($state->read('facts_due')['value'] ?? 0);
        if ($now < $due || !$wiring->backoff()->allows($now)) {
            return;
        }
        $state->write('facts_due', (string)($now + self::FACTS_RETRY_S), $now);
        if (Facts::send($wiring->relay())->succeeded()) {
            $state->write('facts_due', (string)($now + self::FACTS_EVERY_S), $now);
        }
    }

    private static function notices(Wiring $wiring, int $now): void
    {
        Loc::loadMessages(__FILE__);
        $bound = $wiring->outboxBound();
        $rows = $bound->count($now);
        $held = $wiring->outbox()->depth()['held'];
        self::notice($wiring, $now, self::NOTICE_DEPTH, $bound->shouldWarn($rows), 'BITRELAY_NOTICE_DEPTH', [
            '#ROWS#' => (string)$rows,
            '#LIMIT#' => (string)$wiring->settings->outboxLimit,
        ]);
        self::notice($wiring, $now, self::NOTICE_HELD, $held > 0, 'BITRELAY_NOTICE_HELD', ['#ROWS#' => (string)$held]);
    }

    /** @param array<string, string> $replace */
    private static function notice(
        Wiring $wiring,
        int $now,
        string $tag,
        bool $wanted,
        string $message,
        array $replace
    ): void {
        $shown = $wiring->state()->read($tag);
        if (!$wanted) {
            if ($shown !== null) {
                \CAdminNotify::DeleteByTag($tag);
                $wiring->state()->delete($tag);
            }
            return;
        }
        if ($shown !== null && $now - $shown['updated_at'] < self::NOTICE_EVERY_S) {
            return;
        }
        \CAdminNotify::Add([
            'MESSAGE' => (string)Loc::getMessage($message, $replace),
            'TAG' => $tag,
            'MODULE_ID' => Module::ID,
            'ENABLE_CLOSE' => 'Y',
            'NOTIFY_TYPE' => \CAdminNotify::TYPE_ERROR,
        ]);
        $wiring->state()->write($tag, '1', $now);
    }
}
