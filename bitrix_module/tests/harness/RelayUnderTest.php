<?php

// Promises: the relay of the outage test: a scripted one, or any real one named by the environment.
// Leans on: BITRELAY_RELAY_URL, _START, _STOP (commands), _PORTAL_ID, _PORTAL_SECRET, _APP_ID, _APP_SECRET.
// Must never: reach into the relay otherwise than over HTTP.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class RelayUnderTest
{
    private ?ScriptedRelay $scripted = null;
    private ?RealRelay $real = null;

    public function __construct(string $name, bool $wantsReal = false)
    {
        if ($wantsReal) {
            $this->real = new RealRelay($name);
        } elseif (self::env('URL') === '') {
            $this->scripted = new ScriptedRelay($name);
            $this->scripted->configure(['deliver' => true]);
        }
    }

    public function url(): string
    {
        return $this->real?->url() ?? $this->scripted?->url() ?? rtrim(self::env('URL'), '/');
    }

    public function start(): void
    {
        if ($this->real !== null) {
            $this->real->start();
        } else {
            $this->scripted === null ? self::run(self::env('START')) : $this->scripted->start();
        }
    }

    public function stop(): void
    {
        if ($this->real !== null) {
            $this->real->stop();
        } else {
            $this->scripted === null ? self::run(self::env('STOP')) : $this->scripted->stop();
        }
    }

    public function name(): string
    {
        return $this->scripted === null ? ($this->real !== null ? 'real ' : '') . 'relay at ' . $this->url() : 'scripted relay';
    }

    /** Make the portal the one that this relay knows. */
    public function introduce(Portal $portal): void
    {
        if ($this->real !== null) {
            $this->registerAt($this->real, $portal);
        }
        if ($this->scripted !== null || $this->real !== null) {
            return;
        }
        $portal->option('rest', 'service_client_id', self::env('PORTAL_ID'));
        $portal->option('rest', 'service_client_secret', self::env('PORTAL_SECRET'));
        if (self::env('APP_ID') !== '') {
            $portal->sql("UPDATE b_rest_app SET CLIENT_ID = '" . self::env('APP_ID') . "', CLIENT_SECRET = '" . self::env('APP_SECRET') . "' WHERE ID = 1");
        }
    }

    /** The portal has no credentials and a lost app: both come from the relay, by the module's own doors. */
    private function registerAt(RealRelay $relay, Portal $portal): void
    {
        $relay->cli(['portal', 'add', 'http://portal.local', '--allow', '127.0.0.0/8']);
        $portal->sql("DELETE FROM b_option WHERE MODULE_ID = 'rest' AND NAME LIKE 'service_client_%'");
        $portal->sql("UPDATE b_rest_app SET CLIENT_ID = 'no_client_id_1', CLIENT_SECRET = ''");
        $repaired = $portal->php('$_SERVER["HTTP_HOST"] = "portal.local";
            \Bitrix\Main\Loader::includeModule("bitrelay.connector");
            $relay = \Bitrelay\Connector\Wiring::instance()->relay();
            \Bitrelay\Connector\Portal\Connecting::register($relay);
            return \Bitrelay\Connector\Portal\DummyApps::repair($relay);');
        Expect::same(['repaired' => 1, 'troubles' => []], $repaired);
    }

    private static function env(string $name): string
    {
        return (string)getenv('BITRELAY_RELAY_' . $name);
    }

    private static function run(string $command): void
    {
        exec($command . ' 2>&1', $output, $code);
        if ($code !== 0) {
            throw new Failure($command . ': ' . implode("\n", $output));
        }
    }
}
