<?php

// Promises: the one page on which the module is connected, set, checked and switched back.
// Leans on: the kernel's settings page, which includes this file; actions are in lib/Admin/SettingsPage.php.
// Must never: act without the right and the session, or print anything unescaped.

declare(strict_types=1);

use Bitrelay\Connector\Admin\SettingsForm;
use Bitrelay\Connector\Admin\SettingsPage;
use Bitrelay\Connector\Admin\Status;
use Bitrelay\Connector\Check\Diagnosis;
use Bitrelay\Connector\Check\Finding;
use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Module;
use Bitrelay\Connector\Portal\Connecting;
use Bitrelay\Connector\Portal\DummyApps;
use Bitrelay\Connector\Settings;
use Bitrelay\Connector\Wiring;
use Bitrix\Main\Application;
use Bitrix\Main\Config\Option;
use Bitrix\Main\Loader;
use Bitrix\Main\Localization\Loc;

if (!defined('B_PROLOG_INCLUDED') || B_PROLOG_INCLUDED !== true) {
    die();
}

global $APPLICATION, $USER;
$moduleId = 'bitrelay.connector';
if ($APPLICATION->GetGroupRight($moduleId) < 'W') {
    $APPLICATION->AuthForm('');
    return;
}
if (!Loader::includeModule($moduleId) || !Loader::includeModule('rest')) {
    return;
}
Loc::loadMessages(__FILE__);

$request = Application::getInstance()->getContext()->getRequest();
$pageUrl = ($request->isHttps() ? 'https' : 'http') . '://' . preg_replace('/:(80|443)$/', '', (string)$request->getHttpHost());
$page = new SettingsPage((int)$USER->GetID(), $pageUrl);
if ($request->isPost() && check_bitrix_sessid()) {
    $page->act(array_filter($request->getPostList()->toArray(), 'is_string'));
}
if ($page->file !== null) {
    $APPLICATION->RestartBuffer();
    header('Content-Type: application/json');
    header('Content-Disposition: attachment; filename="portal.json"');
    header('Cache-Control: no-store');
    echo $page->file;
    die();
}

$say = static fn (string $key, array $values = []): string
    => htmlspecialcharsbx((string)Loc::getMessage($key, $values));
$wiring = Wiring::reset();
$settings = $wiring->settings;
$option = static fn (string $name): string => htmlspecialcharsbx((string)Option::get(Module::ID, $name, '', ''));
$dummies = DummyApps::list();

foreach ($page->messages as [$good, $key, $values]) {
    CAdminMessage::ShowMessage([
        'TYPE' => $good ? 'OK' : 'ERROR',
        'MESSAGE' => (string)Loc::getMessage($key, $values),
        'HTML' => false,
    ]);
}

$tabs = new CAdminTabControl('bitrelay', [
    ['DIV' => 'connect', 'ICON' => '', 'TAB' => (string)Loc::getMessage('BITRELAY_TAB_CONNECT'), 'TITLE' => (string)Loc::getMessage('BITRELAY_TAB_CONNECT_TITLE')],
    ['DIV' => 'settings', 'ICON' => '', 'TAB' => (string)Loc::getMessage('BITRELAY_TAB_SETTINGS'), 'TITLE' => (string)Loc::getMessage('BITRELAY_TAB_SETTINGS_TITLE')],
    ['DIV' => 'adopt', 'ICON' => '', 'TAB' => (string)Loc::getMessage('BITRELAY_TAB_ADOPT'), 'TITLE' => (string)Loc::getMessage('BITRELAY_TAB_ADOPT_TITLE')],
    ['DIV' => 'check', 'ICON' => '', 'TAB' => (string)Loc::getMessage('BITRELAY_TAB_CHECK'), 'TITLE' => (string)Loc::getMessage('BITRELAY_TAB_CHECK_TITLE')],
]);
$modeNames = [];
foreach (Mode::cases() as $mode) {
    $modeNames[$mode->value] = $say('BITRELAY_MODE_' . strtoupper($mode->value));
}
?>
<form method="post" action="<?= htmlspecialcharsbx($APPLICATION->GetCurPage()) ?>?mid=<?= urlencode($moduleId) ?>&amp;lang=<?= urlencode(LANGUAGE_ID) ?>">
<?= bitrix_sessid_post() ?>
<?php $tabs->Begin(); ?>
<?php $tabs->BeginNextTab(); ?>
<?php foreach (Status::rows($wiring, time()) as $key => $value) : ?>
    <tr><td width="40%"><?= $say($key) ?></td><td><?= htmlspecialcharsbx($value) ?></td></tr>
<?php endforeach; ?>
    <tr class="heading"><td colspan="2"><?= $say('BITRELAY_CONNECT_HEADING') ?></td></tr>
    <tr>
        <td><?= $say('BITRELAY_CONNECTION_CODE') ?></td>
        <td><textarea name="connection_code" rows="4" cols="70" autocomplete="off" spellcheck="false"></textarea></td>
    </tr>
    <tr>
        <td><?= $say('BITRELAY_MODE') ?></td>
        <td><select name="connect_mode">
        <?php foreach (array_diff_key($modeNames, ['off' => 1]) as $value => $name) : ?>
            <option value="<?= $value ?>"<?= $value === $settings->mode->value ? ' selected' : '' ?>><?= $name ?></option>
        <?php endforeach; ?>
        </select></td>
    </tr>
    <tr>
        <td></td>
        <td><label><input type="checkbox" name="adopt_confirmed" value="Y">
            <?= $say('BITRELAY_ADOPT_CONFIRM') ?></label></td>
    </tr>
    <tr><td></td><td>
        <input type="submit" name="connect" value="<?= $say('BITRELAY_BUTTON_CONNECT') ?>" class="adm-btn-save">
        <input type="submit" name="send_now" value="<?= $say('BITRELAY_BUTTON_SEND_NOW') ?>">
        <input type="submit" name="retry_held" value="<?= $say('BITRELAY_BUTTON_RETRY_HELD') ?>">
        <input type="submit" name="back_to_cloud" value="<?= $say('BITRELAY_BUTTON_CLOUD') ?>">
    </td></tr>
    <tr><td></td><td>
        <label><input type="checkbox" name="drop_confirmed" value="Y"> <?= $say('BITRELAY_DROP_CONFIRM') ?></label>
        <input type="submit" name="drop_held" value="<?= $say('BITRELAY_BUTTON_DROP_HELD') ?>">
    </td></tr>
<?php $tabs->BeginNextTab(); ?>
    <tr><td width="40%"><?= $say('BITRELAY_RELAY_URL') ?></td>
        <td><input type="text" size="60" name="relay_url" value="<?= $option('relay_url') ?>"></td></tr>
    <tr><td><?= $say('BITRELAY_CA') ?></td>
        <td><textarea name="ca" rows="6" cols="70" spellcheck="false"><?= $option('ca') ?></textarea></td></tr>
    <tr><td><?= $say('BITRELAY_MODE') ?></td>
        <td><select name="mode">
        <?php foreach ($modeNames as $value => $name) : ?>
            <option value="<?= $value ?>"<?= $value === $settings->mode->value ? ' selected' : '' ?>><?= $name ?></option>
        <?php endforeach; ?>
        </select></td></tr>
<?php foreach (['apps', 'hosts', 'capture_events'] as $name) : ?>
    <tr><td><?= $say('BITRELAY_' . strtoupper($name)) ?></td>
        <td><textarea name="<?= $name ?>" rows="3" cols="70"><?= str_replace(',', "\n", $option($name)) ?></textarea></td></tr>
<?php endforeach; ?>
<?php foreach (SettingsForm::SWITCHES as $name) : ?>
    <tr><td><?= $say('BITRELAY_' . strtoupper($name)) ?></td>
        <td><input type="checkbox" name="<?= $name ?>" value="Y"<?= $option($name) === 'Y' ? ' checked' : '' ?>></td></tr>
<?php endforeach; ?>
<?php foreach (array_keys(Settings::BOUNDS) as $name) : ?>
    <tr><td><?= $say('BITRELAY_' . strtoupper($name)) ?></td>
        <td><input type="text" size="10" name="<?= $name ?>" value="<?= $option($name) ?>"></td></tr>
<?php endforeach; ?>
    <tr><td></td><td><input type="submit" name="save" value="<?= $say('BITRELAY_BUTTON_SAVE') ?>" class="adm-btn-save"></td></tr>
<?php $tabs->BeginNextTab(); ?>
    <tr><td colspan="2"><?= $say('BITRELAY_ADOPT_ABOUT') ?></td></tr>
    <tr><td width="40%"><?= $say('BITRELAY_ADOPT_STATE') ?></td>
        <td><?= $say(Connecting::isRegistered() ? 'BITRELAY_ADOPT_REGISTERED' : 'BITRELAY_ADOPT_UNREGISTERED') ?></td></tr>
    <tr><td></td><td>
        <input type="submit" name="adopt" value="<?= $say('BITRELAY_BUTTON_ADOPT') ?>">
        <input type="submit" name="adoption_file" value="<?= $say('BITRELAY_BUTTON_ADOPTION_FILE') ?>">
        <input type="submit" name="register" value="<?= $say('BITRELAY_BUTTON_REGISTER') ?>">
        <br><?= $say('BITRELAY_ADOPT_TICK') ?>
    </td></tr>
    <tr class="heading"><td colspan="2"><?= $say('BITRELAY_DUMMY_HEADING') ?></td></tr>
    <tr><td colspan="2"><?= $say('BITRELAY_DUMMY_ABOUT') ?></td></tr>
<?php foreach ($dummies as $app) : ?>
    <tr><td><?= htmlspecialcharsbx($app['title']) ?></td><td><?= htmlspecialcharsbx($app['url']) ?></td></tr>
<?php endforeach; ?>
    <tr><td></td><td>
    <?php if ($dummies === []) : ?>
        <?= $say('BITRELAY_DUMMY_NONE') ?>
    <?php else : ?>
        <input type="submit" name="repair" value="<?= $say('BITRELAY_BUTTON_REPAIR') ?>">
    <?php endif; ?>
    </td></tr>
<?php $tabs->BeginNextTab(); ?>
    <tr><td width="40%"><?= $say('BITRELAY_CHECK_APP') ?></td>
        <td><input type="text" size="50" name="check_app" value=""></td></tr>
    <tr><td></td><td>
        <input type="submit" name="check" value="<?= $say('BITRELAY_BUTTON_CHECK') ?>" class="adm-btn-save">
        <input type="submit" name="facts" value="<?= $say('BITRELAY_BUTTON_FACTS') ?>">
    </td></tr>
<?php foreach ($page->findings as $finding) : ?>
    <tr>
        <td><b><?= $say('BITRELAY_LEVEL_' . strtoupper($finding->level)) ?></b></td>
        <td><?= htmlspecialcharsbx(Diagnosis::text($finding)) ?>
        <?php if ($finding->level !== Finding::OK) : ?>
            <br><i><?= htmlspecialcharsbx(Diagnosis::remedy($finding)) ?></i>
        <?php endif; ?></td>
    </tr>
<?php endforeach; ?>
<?php $tabs->Buttons(); ?>
<?php $tabs->End(); ?>
</form>
