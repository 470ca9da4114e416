<?php

// Promises: carries out what a button of the settings page asks for and says how it went.
// Leans on: the page having checked the right and the session before it calls.
// Must never: send secrets anywhere without the ticked confirmation, or show one except in the adoption file.

declare(strict_types=1);

namespace Bitrelay\Connector\Admin;

use Bitrelay\Connector\Check\Diagnosis;
use Bitrelay\Connector\Check\Finding;
use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Module;
use Bitrelay\Connector\Portal\Adoption;
use Bitrelay\Connector\Portal\Connecting;
use Bitrelay\Connector\Portal\DummyApps;
use Bitrelay\Connector\Portal\Facts;
use Bitrelay\Connector\Portal\Secret;
use Bitrelay\Connector\Relay\ConnectionCode;
use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Wiring;
use Bitrix\Main\Config\Option;

final class SettingsPage
{
    /** @var list<array{0: bool, 1: string, 2: array<string, string>}> good?, message key, values */
    public array $messages = [];
    /** @var list<Finding> */
    public array $findings = [];
    /** The adoption document, when the page is to send it as a file. */
    public ?string $file = null;

    public function __construct(private readonly int $userId, private readonly string $pageUrl)
    {
    }

    /** @param array<string, string> $posted */
    public function act(array $posted): void
    {
        $actions = [
            'connect' => $this->connect(...),
            'save' => $this->save(...),
            'check' => $this->check(...),
            'adopt' => $this->adopt(...),
            'adoption_file' => $this->adoptionFile(...),
            'register' => $this->register(...),
            'repair' => $this->repair(...),
            'facts' => $this->facts(...),
            'send_now' => $this->sendNow(...),
            'retry_held' => $this->retryHeld(...),
            'drop_held' => $this->dropHeld(...),
            'back_to_cloud' => $this->backToCloud(...),
        ];
        foreach ($actions as $name => $action) {
            if (isset($posted[$name])) {
                try {
                    $action($posted);
                } catch (\Throwable $error) {
                    $this->bad('BITRELAY_DONE_BROKE', ['#ERROR#' => get_class($error)]);
                }
                return;
            }
        }
    }

    /** @param array<string, string> $posted */
    private function connect(array $posted): void
    {
        try {
            $code = ConnectionCode::parse($posted['connection_code'] ?? '');
        } catch (\InvalidArgumentException $fault) {
            $this->bad('BITRELAY_FAULT_' . $fault->getMessage());
            return;
        }
        $mode = Mode::of($posted['connect_mode'] ?? '');
        Option::set(Module::ID, 'portal_url', $this->pageUrl);
        Connecting::connect($code, $mode === Mode::Off ? Mode::All : $mode);
        $this->good('BITRELAY_DONE_CONNECTED', ['#URL#' => $code->url]);
        if (!Connecting::isRegistered()) {
            $this->register();
        } elseif (($posted['adopt_confirmed'] ?? '') === 'Y') {
            $this->adopt($posted);
        } else {
            $this->bad('BITRELAY_DONE_ADOPT_NEXT');
        }
    }

    /** @param array<string, string> $posted */
    private function save(array $posted): void
    {
        $faults = SettingsForm::save($posted);
        foreach ($faults as [$key, $values]) {
            $this->bad($key, $values);
        }
        if ($faults === []) {
            Option::set(Module::ID, 'portal_url', $this->pageUrl);
            $this->good('BITRELAY_DONE_SAVED');
        }
    }

    /** @param array<string, string> $posted */
    private function check(array $posted): void
    {
        $this->findings = (new Diagnosis(Wiring::reset()))->run(trim($posted['check_app'] ?? ''), $this->userId);
    }

    /** @param array<string, string> $posted */
    private function adopt(array $posted): void
    {
        if (($posted['adopt_confirmed'] ?? '') !== 'Y') {
            $this->bad('BITRELAY_DONE_CONFIRM');
            return;
        }
        $answer = Adoption::send(Wiring::instance()->relay(), $this->document());
        if (!$answer->succeeded()) {
            $this->refused('BITRELAY_DONE_ADOPT_FAILED', $answer);
            return;
        }
        Secret::forget(Connecting::CODE);
        $this->good('BITRELAY_DONE_ADOPTED', [
            '#ADOPTED#' => (string)(int)($answer->result()['adopted'] ?? 0),
            '#KNOWN#' => (string)(int)($answer->result()['known'] ?? 0),
        ]);
    }

    /** @param array<string, string> $posted */
    private function adoptionFile(array $posted): void
    {
        if (($posted['adopt_confirmed'] ?? '') === 'Y') {
            $this->file = Adoption::json($this->document());
        } else {
            $this->bad('BITRELAY_DONE_CONFIRM');
        }
    }

    private function register(): void
    {
        if (Connecting::isRegistered()) {
            $this->good('BITRELAY_DONE_REGISTERED_ALREADY');
            return;
        }
        $answer = Connecting::register(Wiring::instance()->relay());
        if (Connecting::isRegistered()) {
            $this->good('BITRELAY_DONE_REGISTERED');
        } else {
            $this->refused('BITRELAY_DONE_REGISTER_FAILED', $answer);
        }
    }

    private function repair(): void
    {
        $outcome = DummyApps::repair(Wiring::instance()->relay());
        $this->good('BITRELAY_DONE_REPAIRED', ['#APPS#' => (string)$outcome['repaired']]);
        foreach ($outcome['troubles'] as $title => $trouble) {
            $this->bad('BITRELAY_DONE_REPAIR_FAILED', ['#TITLE#' => $title, '#ERROR#' => $trouble]);
        }
    }

    private function facts(): void
    {
        $answer = Facts::send(Wiring::instance()->relay());
        if ($answer->succeeded()) {
            $this->good('BITRELAY_DONE_FACTS');
        } else {
            $this->refused('BITRELAY_DONE_FACTS_FAILED', $answer);
        }
    }

    private function sendNow(): void
    {
        $wiring = Wiring::instance();
        $wiring->state()->delete(\Bitrelay\Connector\Relay\Backoff::RELAY);
        $this->good('BITRELAY_DONE_SENT', ['#ROWS#' => (string)$wiring->courier()->run(Wiring::AGENT_BUDGET_S)]);
    }

    private function retryHeld(): void
    {
        Wiring::instance()->outbox()->releaseHeld();
        $this->good('BITRELAY_DONE_RELEASED');
    }

    /** @param array<string, string> $posted */
    private function dropHeld(array $posted): void
    {
        if (($posted['drop_confirmed'] ?? '') !== 'Y') {
            $this->bad('BITRELAY_DONE_CONFIRM');
            return;
        }
        Wiring::instance()->outbox()->dropHeld();
        $this->good('BITRELAY_DONE_DROPPED');
    }

    private function backToCloud(): void
    {
        Connecting::follow(Mode::Off);
        $this->good('BITRELAY_DONE_CLOUD');
    }

    /** @return array<string, mixed> */
    private function document(): array
    {
        $settings = Wiring::instance()->settings;
        $onlyApps = match ($settings->mode) {
            Mode::Apps => $settings->apps,
            Mode::Handlers => [],
            default => null,
        };
        return Adoption::document($settings->portalUrl !== '' ? $settings->portalUrl : $this->pageUrl, $onlyApps);
    }

    private function refused(string $key, RelayAnswer $answer): void
    {
        $this->bad($key, ['#ERROR#' => $answer->trouble()]);
    }

    /** @param array<string, string> $values */
    private function good(string $key, array $values = []): void
    {
        $this->messages[] = [true, $key, $values];
    }

    /** @param array<string, string> $values */
    private function bad(string $key, array $values = []): void
    {
        $this->messages[] = [false, $key, $values];
    }
}
