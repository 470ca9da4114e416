<?php

// Promises: installs and uninstalls the module; afterwards the portal is exactly as it was before.
// Leans on: the kernel's CModule contract; event subscriptions are declared in lib/Subscriptions.php.
// Must never: drop unsent events unasked, or leave a handler, agent, option or table behind.

declare(strict_types=1);

use Bitrelay\Connector\Agent;
use Bitrelay\Connector\Module;
use Bitrelay\Connector\Portal\NodeCache;
use Bitrelay\Connector\Portal\OwnConnection;
use Bitrelay\Connector\Portal\Redirect;
use Bitrelay\Connector\Settings;
use Bitrelay\Connector\Subscriptions;
use Bitrix\Main\Application;
use Bitrix\Main\Config\Option;
use Bitrix\Main\Loader;
use Bitrix\Main\Localization\Loc;
use Bitrix\Main\ModuleManager;

Loc::loadMessages(__FILE__);

class bitrelay_connector extends CModule
{
    public $MODULE_ID = 'bitrelay.connector';
    public $MODULE_VERSION = '';
    public $MODULE_VERSION_DATE = '';
    public $MODULE_NAME = '';
    public $MODULE_DESCRIPTION = '';
    public $MODULE_GROUP_RIGHTS = 'N';
    public $PARTNER_NAME = 'Bitrix Relay';
    public $PARTNER_URI = '';

    private const PHP_LEAST = 80100;

    public function __construct()
    {
        $arModuleVersion = [];
        include __DIR__ . '/version.php';
        $this->MODULE_VERSION = (string)($arModuleVersion['VERSION'] ?? '');
        $this->MODULE_VERSION_DATE = (string)($arModuleVersion['VERSION_DATE'] ?? '');
        $this->MODULE_NAME = (string)Loc::getMessage('BITRELAY_MODULE_NAME');
        $this->MODULE_DESCRIPTION = (string)Loc::getMessage('BITRELAY_MODULE_DESCRIPTION');
    }

    public function DoInstall()
    {
        if (!$this->canInstallHere()) {
            return false;
        }
        if (!$this->InstallDB()) {
            return false;
        }
        ModuleManager::registerModule($this->MODULE_ID);
        Loader::includeModule($this->MODULE_ID);
        $this->InstallEvents();
        $this->registerOwnAgents();
        return true;
    }

    public function DoUninstall()
    {
        global $APPLICATION;
        Loader::includeModule($this->MODULE_ID);
        $request = Application::getInstance()->getContext()->getRequest();
        $answered = (int)$request->get('step') >= 2 && check_bitrix_sessid();
        if (!$answered && $this->unsentEvents() > 0) {
            $APPLICATION->IncludeAdminFile((string)Loc::getMessage('BITRELAY_UNINSTALL_TITLE'), __DIR__ . '/unstep.php');
            return false;
        }
        return $this->removeNow($answered && $request->get('keep_events') === 'Y');
    }

    /** Uninstall without asking; for scripts, and for the page once it has the answer. */
    public function removeNow(bool $keepEvents): bool
    {
        Redirect::restore();
        $this->UnInstallEvents();
        CAgent::RemoveModuleAgents($this->MODULE_ID);
        CAdminNotify::DeleteByModule($this->MODULE_ID);
        $this->UnInstallDB(['keep_events' => $keepEvents]);
        NodeCache::ofPortal()->clear();
        Option::delete($this->MODULE_ID);
        ModuleManager::unRegisterModule($this->MODULE_ID);
        return true;
    }

    public function InstallDB()
    {
        global $APPLICATION;
        $errors = $this->runOwnSql('install');
        if ($errors !== []) {
            $APPLICATION->ThrowException(implode('<br>', array_map('htmlspecialcharsbx', $errors)));
            return false;
        }
        return true;
    }

    /** @param array<string, mixed> $params "keep_events": leave the table of unsent events in place */
    public function UnInstallDB($params = [])
    {
        if (empty($params['keep_events'])) {
            return $this->runOwnSql('uninstall') === [];
        }
        Application::getConnection()->queryExecute('DROP TABLE IF EXISTS ' . Module::STATE_TABLE);
        return true;
    }

    public function InstallEvents()
    {
        Subscriptions::register(Settings::load()->captureEvents);
        return true;
    }

    public function UnInstallEvents()
    {
        Subscriptions::unregister(Settings::load()->captureEvents);
        return true;
    }

    /** How many events would be lost with the table. */
    public function unsentEvents(): int
    {
        $connection = Application::getConnection();
        return $connection->isTableExists(Module::OUTBOX_TABLE)
            ? (int)$connection->queryScalar('SELECT COUNT(*) FROM ' . Module::OUTBOX_TABLE)
            : 0;
    }

    private function canInstallHere(): bool
    {
        global $APPLICATION;
        $trouble = match (true) {
            PHP_VERSION_ID < self::PHP_LEAST => 'BITRELAY_INSTALL_PHP',
            !ModuleManager::isModuleInstalled('rest') => 'BITRELAY_INSTALL_REST',
            !is_dir(__DIR__ . '/db/' . Application::getConnection()->getType()) => 'BITRELAY_INSTALL_DB',
            default => null,
        };
        if ($trouble !== null) {
            $APPLICATION->ThrowException((string)Loc::getMessage($trouble));
        }
        return $trouble === null;
    }

    private function registerOwnAgents(): void
    {
        foreach ([Agent::DELIVER, Agent::TEND] as $agent) {
            CAgent::AddAgent($agent, $this->MODULE_ID, 'N', Agent::PERIOD_S, '', 'Y', '', 100, false, false);
        }
    }

    /** @return list<string> errors */
    private function runOwnSql(string $name): array
    {
        $connection = Application::getConnection();
        $sql = file_get_contents(__DIR__ . '/db/' . $connection->getType() . '/' . $name . '.sql');
        return $sql === false ? ['no ' . $name . '.sql'] : array_values((array)$connection->executeSqlBatch($sql));
    }
}
